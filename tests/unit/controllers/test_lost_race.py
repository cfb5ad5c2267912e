"""A run that somebody else took further while its model was asked: looked at as it is now, not asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.controllers.caches import Caches, caches
from kubechain.controllers.runs.assembly import controller as controller_of_runs
from kubechain.controllers.runs.taskrun import TaskRunController
from kubechain.errors import Conflict
from kubechain.resources.agent import AGENTS, Agent, AgentSpec, AgentStatus
from kubechain.resources.llm import LLM, LLMS, LLMSpec, LLMStatus
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.runtime.api import key_of
from kubechain.runtime.clock import now
from kubechain.runtime.recorder import EventRecorder
from kubechain.store.engine import Store

pytestmark = pytest.mark.timeout(30)


class Rival:
    """A model whose first reply takes so long that another replica saves its own before: with `labels`, something
    that is not part of the conversation instead."""

    def __init__(self, store: Store, run: TaskRun, *, labels: bool = False) -> None:
        self.asked = 0
        self._store, self._run, self._labels = store, run, labels

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        self.asked += 1
        if self.asked == 1:
            await self._meanwhile()
        return Reply(Message(role="assistant", content="ours"))

    async def _meanwhile(self) -> None:
        if self._labels:
            meta = replace(self._run.metadata, labels={"seen": "yes"})
            await self._store.put(TASK_RUNS, replace(self._run, metadata=meta))
            return
        theirs = [Message(role="user", content="hello"), Message(role="assistant", content="theirs")]
        status = replace(self._run.status, phase="FinalAnswer", turns=1, messages=theirs, output="theirs")
        await self._store.put_status(TASK_RUNS, replace(self._run, status=status))

    async def check(self, endpoint: Endpoint) -> str:
        return ""

    async def close(self) -> None:
        return None


def meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default")


async def world(store: Store) -> tuple[Caches, TaskRun]:
    """A run whose model can be asked, and caches that hold all of it. No informer runs: the watch lags."""
    held = caches(store)
    llm = await store.create(LLMS, LLM(metadata=meta("m"), spec=LLMSpec(provider="ollama")))
    held.llms.put(await store.put_status(LLMS, replace(llm, status=LLMStatus(ready=True, observed_generation=1))))
    agent = await store.create(AGENTS, Agent(metadata=meta("a"), spec=AgentSpec(llm_ref=Reference(name="m"))))
    ready = AgentStatus(ready=True, observed_generation=1)
    held.agents.put(await store.put_status(AGENTS, replace(agent, status=ready)))
    task = Task(metadata=meta("t"), spec=TaskSpec(agent="a", user_message="hello"))
    held.tasks.put(await store.create(TASKS, task))
    run = await store.create(TASK_RUNS, TaskRun(metadata=meta("r"), spec=TaskRunSpec(task="t")))
    held.runs.put(run)
    return held, run


@asynccontextmanager
async def racing(*, labels: bool = False) -> AsyncIterator[tuple[TaskRunController, Rival, TaskRun]]:
    async with Store.open(None, clock=now) as store:
        held, run = await world(store)
        rival = Rival(store, run, labels=labels)
        events = EventRecorder(store, "test", now)
        yield controller_of_runs(store, held, rival, {}, events, now), rival, run


async def test_the_other_reply_stands_and_the_model_is_not_asked_once_more() -> None:
    async with racing() as (controller, rival, run), asyncio.timeout(20):
        with pytest.raises(Conflict):
            await controller.reconcile(run)
        held = controller.checkpoints.caches.runs.get(key_of(run))
        assert held is not None
        assert held.status.output == "theirs"
        await controller.reconcile(held)
        assert rival.asked == 1
        assert (await controller.checkpoints.api.get(TASK_RUNS, "r", "default")).status.output == "theirs"


async def test_a_label_set_meanwhile_costs_no_reply() -> None:
    async with racing(labels=True) as (controller, rival, run), asyncio.timeout(20):
        await controller.reconcile(run)
        saved = await controller.checkpoints.api.get(TASK_RUNS, "r", "default")
        assert (saved.status.output, saved.metadata.labels, rival.asked) == ("ours", {"seen": "yes"}, 1)
