"""A tree of runs for the crash suite: one agent, three that it calls, and three that each of these calls.

What is made for it has names with fingerprints that differ from world to world; its points are called by their
place in the tree, as in `run/1-2/editor/1-3`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import msgspec

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.app.loops import ControlLoops, control_loops
from kubechain.controllers.assembly import Outside
from kubechain.providers.models.scripted.script import Script, load
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.json import JsonObject
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api
from tests.crash.outside import InProcess
from tests.crash.points import Killed, Points, WatchedApi, WatchedModels
from tests.crash.stories import API_VERSION, RUN

WIDTH = 3
KINDS = {kind.kind: kind.raw for kind in OURS}
_numbers = count(1)


def script() -> Script:
    """`book` asks for chapters, `chapter 2` for its sections; every one says what it was asked and told."""
    usage: JsonObject = {"input": 7, "output": 3}
    rules: list[JsonObject] = []
    for asked, tool, parts in [
        ("book", "delegate_to_editor", [f"chapter {n}" for n in range(1, WIDTH + 1)]),
        *(
            (f"chapter {n}", "delegate_to_writer", [f"section {n}.{m}" for m in range(1, WIDTH + 1)])
            for n in range(1, WIDTH + 1)
        ),
    ]:
        calls: list[JsonObject] = [
            {"name": tool, "arguments": msgspec.json.encode({"message": part}).decode()} for part in parts
        ]
        first: JsonObject = {"userMessage": f"^{asked}$", "turn": 0}
        rules.append({"match": first, "reply": {"toolCalls": list[object](calls), "usage": usage}})  # type: ignore[dict-item]
        rules.append(
            {"match": {"userMessage": f"^{asked}$"}, "reply": {"content": "{user}: {result}", "usage": usage}}
        )
    rules.append({"reply": {"content": "{user}.", "usage": usage}})
    return load(msgspec.json.encode(rules).decode())


def manifests() -> list[JsonObject]:
    return [
        _manifest(
            "LLM", "model", {"provider": "openai-compatible", "parameters": {"baseURL": "http://127.0.0.1:9"}}
        ),
        *(_agent(*names) for names in (("writer",), ("editor", "writer"), ("author", "editor"))),
    ]


def _agent(name: str, *subs: str) -> JsonObject:
    return _manifest("Agent", name, {"llmRef": {"name": "model"}, "subAgents": [{"name": sub} for sub in subs]})


def _manifest(kind: str, name: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True)
class TreeApi(WatchedApi):
    """Names what belongs to the tree by its place."""

    def _role(self, obj: object) -> str:
        return place(obj) or WatchedApi._role(self, obj)


_PLACES: dict[str, str] = {}
"""By namespace and name, of everything below a run."""


def place(obj: object) -> str:
    """Where in the tree a run or a call is; "" for everything else."""
    if isinstance(obj, ToolCall):
        return _below(obj, obj.spec.task_run, "-".join(obj.metadata.name.split("-")[-2:]))
    if isinstance(obj, TaskRun):
        owner = next(iter(obj.metadata.owner_references), None)
        return _below(obj, owner.name, obj.spec.agent) if owner else RUN
    return ""


def _below(obj: TaskRun | ToolCall, parent: str, step: str) -> str:
    space = obj.metadata.namespace
    above = _PLACES.get(f"{space}/{parent}", RUN)
    return _PLACES.setdefault(f"{space}/{obj.metadata.name}", f"{above}/{step}")


@dataclass(frozen=True)
class Asked(WatchedModels):
    """Counts what is asked, by question and turn."""

    times: Counter[str] = field(default_factory=Counter)

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        label = question(messages)
        async with self.points.effect(label):
            self.times[label] += 1
            return await self.inner.ask(endpoint, messages, tools, progress)


def question(messages: Sequence[Message]) -> str:
    asked = next(m.content for m in reversed(messages) if m.role == "user")
    return f"ask {asked} turn {sum(m.role == 'assistant' for m in messages)}"


@dataclass
class Tree:
    """A namespace with the agents and the run at the top, and what the model was asked there."""

    store: Api
    namespace: str
    asked: Counter[str] = field(default_factory=Counter)

    @staticmethod
    async def plant(store: Api, prefix: str = "tree") -> Tree:
        namespace = f"{prefix}-{next(_numbers)}"
        await store.create(NAMESPACES, Namespace(metadata=ObjectMeta(name=namespace)))
        tree = Tree(store, namespace)
        for manifest in manifests():
            await tree._create(manifest)
        points = Points()
        async with tree.life(points):
            await points.quiet()
        await tree._create(_manifest("TaskRun", RUN, {"agent": "author", "userMessage": "book"}))
        return tree

    async def _create(self, manifest: JsonObject) -> None:
        meta = manifest["metadata"]
        assert isinstance(meta, dict)
        document = msgspec.json.encode({**manifest, "metadata": {**meta, "namespace": self.namespace}})
        await self.store.create(KINDS[str(manifest["kind"])], document)

    @asynccontextmanager
    async def life(self, points: Points) -> AsyncIterator[ControlLoops]:
        """The program, until the block ends or it is killed at a point."""
        outside = InProcess(script())
        models = Asked(outside.models(), points, self.asked)
        try:
            api = TreeApi(self.store, points, self.namespace, "-")
            async with control_loops(api, Outside(models, (), {})) as loops:
                for informer in loops.caches.all():
                    await informer.synced.wait()
                yield loops
        except* Killed:
            pass

    async def runs(self) -> dict[str, TaskRun]:
        found = (await self.store.list(TASK_RUNS, self.namespace)).items
        return {run.metadata.name: run for run in found}

    async def calls(self) -> list[ToolCall]:
        return (await self.store.list(TOOL_CALLS, self.namespace)).items
