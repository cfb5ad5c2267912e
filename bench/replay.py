"""What the API server itself takes for the writes of a run: the same documents, written again and nothing else.

Called by cluster.py. A run's story is every state of it and of its ToolCalls that was written; it is told again in
a namespace that nobody looks after, one write after the other as a run makes them, or many runs at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from kubechain.cluster.remote import RemoteApi
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.model import ObjectMeta
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions

NAMESPACE = "raw"


@dataclass
class Story:
    """The states of one run after each reply, and its ToolCalls as they were at the end, in order."""

    states: list[TaskRun] = field(default_factory=list)
    calls: dict[str, ToolCall] = field(default_factory=dict)

    @property
    def tool_turns(self) -> int:
        return len(self.calls)


class Stories:
    """Follows all runs of the namespace `default`, and tells when one has ended."""

    def __init__(self, api: RemoteApi) -> None:
        self._api = api
        self._of: dict[str, Story] = {}
        self._ended: dict[str, asyncio.Event] = {}

    def __getitem__(self, run: str) -> Story:
        return self._of.setdefault(run, Story())

    async def ended(self, run: str) -> None:
        await self._ended.setdefault(run, asyncio.Event()).wait()

    async def follow(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._runs(), self._calls())

    async def _runs(self) -> None:
        async for run in changes(self._api, TASK_RUNS):
            states = self[run.metadata.name].states
            if run.status.turns and (not states or states[-1].status.turns != run.status.turns):
                states.append(run)
            if run.status.finished:
                self._ended.setdefault(run.metadata.name, asyncio.Event()).set()

    async def _calls(self) -> None:
        async for call in changes(self._api, TOOL_CALLS):
            if call.status.finished:
                self[call.spec.task_run].calls[call.metadata.name] = call


async def changes(api: RemoteApi, kind: Any) -> Any:
    """Every object of the namespace `default`, and then each new state of one, for as long as it is read."""
    since = ""
    while True:
        async with aclosing(api.watch(kind, "default", WatchOptions(since=since, bookmarks=True))) as events:
            async for event in events:
                since = event.resource_version
                if isinstance(event, Change) and event.type != "DELETED":
                    yield event.object


async def make_room(api: RemoteApi) -> None:
    await api.ensure(NAMESPACES, Namespace(metadata=ObjectMeta(name=NAMESPACE)))


async def told_again(api: RemoteApi, story: Story, name: str) -> list[float]:
    """Seconds of the writes of each tool turn of the story, one after the other."""
    first = story.states[0]
    run = await api.create(TASK_RUNS, replace(first, metadata=ObjectMeta(name=name, namespace=NAMESPACE)))
    spent = []
    for number, (state, call) in enumerate(zip(story.states, story.calls.values(), strict=False)):
        begun = time.perf_counter()
        run = await api.put_status(TASK_RUNS, replace(run, status=state.status))
        meta = ObjectMeta(
            name=f"{name}-{number}",
            namespace=NAMESPACE,
            labels=call.metadata.labels,
            owner_references=[replace(r, name=name, uid=run.metadata.uid) for r in call.metadata.owner_references],
        )
        made = await api.create(TOOL_CALLS, ToolCall(metadata=meta, spec=call.spec))
        await api.put_status(TOOL_CALLS, replace(made, status=call.status))
        spent.append(time.perf_counter() - begun)
    return spent


async def together(api: RemoteApi, stories: Sequence[Story], prefix: str) -> float:
    """Writes a second when all stories are told again at once."""
    begun = time.perf_counter()
    await asyncio.gather(*(told_again(api, story, f"{prefix}-{n}") for n, story in enumerate(stories)))
    seconds = time.perf_counter() - begun
    return sum(1 + 3 * min(len(story.states), story.tool_turns) for story in stories) / seconds
