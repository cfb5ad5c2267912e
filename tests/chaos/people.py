"""Everyone but the program: who applies the manifests, does work outside, answers for lost calls, meddles.

They are clients of their own with a healthy connection; what they decided is kept for the judges.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from kubechain.errors import ApiError, Conflict, NotFound
from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import SECRETS
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.model import ObjectMeta, Resource
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.tool import TOOLS, Tool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallStatus
from kubechain.runtime.api import Api, Bookmark, Key, WatchOptions
from tests.chaos.scenario import LLM_NAME, NAMESPACE, SECRET_NAME, SERVER_NAME, Meddling, Scenario, objects, secret

Answer = Literal["repeat", "succeeded", "failed", "never"]


@dataclass
class Decisions:
    """What people said: results written from outside by ToolCall uid, leaves to repeat, questions left open."""

    results: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Names of ToolCalls that nobody will ever answer."""
    meddled: list[float] = field(default_factory=list)


class People:
    """`on_change` tells the living process that its MCP server has other tools."""

    def __init__(self, store: Api, world: Scenario, on_change: Callable[[str], None]) -> None:
        self.decisions = Decisions()
        self._store, self._world, self._on_change = store, world, on_change
        self._chance = random.Random(f"{world.seed}/people")
        self._seen: set[tuple[str, str, int]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._apply())
            for meddling in self._world.meddlings:
                group.create_task(self._meddle(meddling))
            await self._attend(group)

    async def _apply(self) -> None:
        manifests, loop = objects(self._world), asyncio.get_running_loop()
        order = [i for i in self._world.order if i < len(manifests)]
        start = loop.time()
        for at, index in zip(self._world.arrivals, order, strict=False):
            await asyncio.sleep(max(0.0, start + at - loop.time()))
            kind, obj = manifests[index]
            await self._store.create(kind, obj)

    async def _attend(self, group: asyncio.TaskGroup) -> None:
        """Watches ToolCalls for what is theirs to do."""
        async with aclosing(self._store.watch(TOOL_CALLS, NAMESPACE, WatchOptions(since="0"))) as stream:
            async for event in stream:
                if isinstance(event, Bookmark):
                    continue
                call = event.object
                sort = "unknown" if call.status.phase == "OutcomeUnknown" else "due" if self._due(call) else ""
                mark = (call.metadata.uid, sort, self.decisions.repeats.get(call.metadata.uid, 0))
                if sort and mark not in self._seen:
                    self._seen.add(mark)
                    group.create_task(self._answer(call, sort))

    def _due(self, call: ToolCall) -> bool:
        tool = self._world.tool(call.spec.tool)
        return tool is not None and tool.type == "external" and call.status.phase == "Running"

    async def _answer(self, call: ToolCall, sort: str) -> None:
        chance, uid, name = self._chance, call.metadata.uid, call.metadata.name
        answers: Any = ("succeeded", "succeeded", "failed") + (("repeat", "repeat") if sort == "unknown" else ())
        answer: Answer = chance.choice(answers)
        if self._world.doomed == "silent outsider" or chance.random() < 0.01:
            self.decisions.open.add(name)
            return
        await asyncio.sleep(chance.choice((0.0, 0.5, 20.0, 1_500.0)))
        if answer == "repeat":
            self.decisions.repeats[uid] = self.decisions.repeats.get(uid, 0) + 1
        said = f"{answer} by a person, {chance.random()}"
        wanted: dict[str, Callable[[ToolCallStatus], ToolCallStatus]] = {
            "repeat": lambda s: replace(s, phase="Pending", error=""),
            "succeeded": lambda s: replace(s, phase="Succeeded", result=said, error="", waiting_on=""),
            "failed": lambda s: replace(s, phase="Failed", error=said, waiting_on=""),
        }
        while True:
            try:
                fresh = await self._store.get(TOOL_CALLS, name, NAMESPACE)
                if fresh.status.phase != call.status.phase:
                    return
                await self._store.put_status(TOOL_CALLS, replace(fresh, status=wanted[answer](fresh.status)))
            except Conflict:
                continue
            except NotFound:
                return
            if answer == "succeeded":
                self.decisions.results[uid] = said
            elif answer == "failed":
                self.decisions.errors[uid] = said
            return

    async def _meddle(self, meddling: Meddling) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(meddling.at)
        self.decisions.meddled.append(loop.time())
        label: JsonObject = {"metadata": {"labels": {"touched": str(len(self.decisions.meddled))}}}
        try:
            match meddling.what:
                case "label run":
                    await self._patch_any(TASK_RUNS, label)
                case "label call":
                    await self._patch_any(TOOL_CALLS, label)
                case "label agent":
                    await self._patch_any(AGENTS, label)
                case "renew secret":
                    renewed: JsonObject = {"data": dict(secret(str(2 + len(self.decisions.meddled))).data)}
                    await self._store.patch(SECRETS, SECRET_NAME, NAMESPACE, renewed)
                case "touch tool":
                    await self._patch_any(TOOLS, {"spec": {"description": f"at {meddling.at}"}})
                case "touch llm":
                    touched: JsonObject = {"spec": {"parameters": {"maxTokens": len(self.decisions.meddled)}}}
                    await self._store.patch(LLMS, LLM_NAME, NAMESPACE, touched)
                case "replace run":
                    await self._replace_run()
                case "replace tool":
                    await self._replace_tool()
                case "new tools":
                    self._on_change(str(Key(NAMESPACE, SERVER_NAME)))
        except ApiError:
            return

    async def _replace_run(self) -> None:
        """Another run of the same name: nothing of the one before may come into it."""
        runs = (await self._store.list(TASK_RUNS, NAMESPACE)).items
        if not runs:
            return
        old = self._chance.choice(runs)
        await self._store.delete(TASK_RUNS, old.metadata.name, NAMESPACE)
        meta = ObjectMeta(name=old.metadata.name, namespace=NAMESPACE)
        spec = TaskRunSpec(task=old.spec.task, user_message=f"{old.spec.user_message}, again")
        await self._store.create(TASK_RUNS, TaskRun(metadata=meta, spec=spec))

    async def _replace_tool(self) -> None:
        """A tool that is gone for a while."""
        tools = (await self._store.list(TOOLS, NAMESPACE)).items
        if not tools:
            return
        old = self._chance.choice(tools)
        await self._store.delete(TOOLS, old.metadata.name, NAMESPACE)
        await asyncio.sleep(self._chance.choice((0.0, 0.1, 10.0)))
        meta = ObjectMeta(name=old.metadata.name, namespace=NAMESPACE)
        await self._store.create(TOOLS, Tool(metadata=meta, spec=old.spec))

    async def _patch_any(self, kind: Kind[Any], patch: JsonObject) -> None:
        items: list[Resource] = (await self._store.list(kind, NAMESPACE)).items
        if items:
            chosen = self._chance.choice(items)
            await self._store.patch(kind, chosen.metadata.name, NAMESPACE, patch)
