"""What becomes of a run whose model answers in ways that are no answer: what is saved, counted, paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from kubechain.agents.ports.model import PAUSED, Endpoint, Progress, Reply, TokenCount, ToolOffer
from kubechain.agents.run import tries
from kubechain.controllers.runs.assembly import controller as controller_of_runs
from kubechain.controllers.runs.taskrun import TaskRunController
from kubechain.errors import Terminal, Transient
from kubechain.resources.message import Message
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.api import Key
from kubechain.runtime.clock import now
from kubechain.runtime.recorder import EventRecorder
from kubechain.store.engine import Store
from tests.unit.agents.scenes import asks_for
from tests.unit.controllers.test_lost_race import world

pytestmark = pytest.mark.timeout(30)
HI = Reply(Message(role="assistant", content="Hi."), TokenCount(5, 2))
EMPTY = Reply(Message(role="assistant"), TokenCount(5, 0), "stop")
RUN = Key("default", "r")


class Script:
    """A model that says what it is told to, one after the other."""

    def __init__(self, *says: Reply | Exception) -> None:
        self.says = list(says)
        self.asked: list[list[Message]] = []

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        self.asked.append(list(messages))
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def check(self, endpoint: Endpoint) -> str:
        return ""

    async def close(self) -> None:
        return None


class Asking:
    """One run, its controller as after a start, and its model."""

    def __init__(self, store: Store, controller: TaskRunController) -> None:
        self.store, self.controller = store, controller

    def restart(self) -> None:
        """All that was only in memory is forgotten."""
        old = self.controller
        api, caches = old.checkpoints.api, old.checkpoints.caches
        self.controller = controller_of_runs(api, caches, old.asking.models, {}, old.events, now)

    async def run(self) -> TaskRun:
        return await self.store.get(TASK_RUNS, "r", "default")

    async def pass_(self) -> Transient | None:
        """One pass over the run as it is; what it raised."""
        async with asyncio.timeout(20):
            try:
                await self.controller.reconcile(await self.run())
            except Transient as error:
                return error
        return None


@asynccontextmanager
async def asking(model: Script) -> AsyncIterator[Asking]:
    async with Store.open(None, clock=now) as store:
        held, _ = await world(store)
        events = EventRecorder(store, "test", now)
        yield Asking(store, controller_of_runs(store, held, model, {}, events, now))


@pytest.mark.parametrize("reason", tries.LIMITS)
async def test_replies_that_cannot_be_used_are_counted_over_restarts_until_the_run_fails(reason: str) -> None:
    said: Reply | Exception = EMPTY if reason == "EmptyReply" else Transient("no good", reason=reason)
    limit = tries.LIMITS[reason]
    model = Script(*[said] * (limit + 1))
    async with asking(model) as made:
        for count in range(1, limit):
            error = await made.pass_()
            assert error is not None
            assert error.reason == reason
            assert error.wait is not None
            status = (await made.run()).status
            assert status.retry is not None
            assert (status.retry.attempts, status.retry.reason) == (count, reason)
            assert status.retry.next_time in status.waiting_on
            made.restart()
        assert await made.pass_() is None
        status = (await made.run()).status
        assert (status.phase, status.conditions[0].reason) == ("Failed", reason)
        assert [m.role for m in status.messages] == ["user"]
        assert len(model.asked) == limit
        assert await made.pass_() is None
        assert len(model.asked) == limit


async def test_an_outage_fails_no_run_however_often_it_is_asked() -> None:
    away = Transient("no route", reason="Unreachable")
    model = Script(*[away] * 20, HI)
    async with asking(model) as made:
        for _ in range(20):
            assert await made.pass_() is not None
        status = (await made.run()).status
        assert status.retry is not None
        assert status.retry.attempts == 20
        assert "asked 20 times" in status.waiting_on
        await made.pass_()
        status = (await made.run()).status
        assert (status.phase, status.retry, status.waiting_on) == ("FinalAnswer", None, "")


async def test_a_request_that_is_not_sent_does_not_count() -> None:
    paused = Transient("a pause", reason=PAUSED, retry_after=30.0)
    model = Script(paused, *[Transient("no good", reason="UnreadableReply")] * 2, *[paused] * 9, HI)
    async with asking(model) as made:
        for asked in ("a pause; next at ", "asked once, ", "asked 2 times, ", *["pause; asked 2 times, "] * 9):
            error = await made.pass_()
            assert error is not None and error.wait is not None
            assert asked in (await made.run()).status.waiting_on
        await made.pass_()
        assert (await made.run()).status.phase == "FinalAnswer"


async def test_what_an_unusable_reply_cost_is_counted() -> None:
    async with asking(Script(EMPTY, HI)) as made:
        await made.pass_()
        assert (await made.run()).status.tokens == 5
        await made.pass_()
        assert (await made.run()).status.tokens == 12


async def test_a_run_that_fails_at_its_first_question_keeps_the_question_and_its_agent() -> None:
    async with asking(Script(Terminal("the key was refused", reason="Unauthorized"))) as made:
        await made.pass_()
        status = (await made.run()).status
        assert (status.phase, status.agent) == ("Failed", "a")
        assert [(m.role, m.content) for m in status.messages] == [("user", "hello")]


async def test_a_run_that_fails_after_its_tools_keeps_their_results() -> None:
    async with asking(
        Script(Reply(asks_for("echo")), Terminal("too long", reason="ContextLengthExceeded"))
    ) as made:
        await made.pass_()
        (call,) = (await made.store.list(TOOL_CALLS, "default")).items
        call.status.phase, call.status.result = "Succeeded", "sunny"
        made.controller.checkpoints.caches.calls.put(await made.store.put_status(TOOL_CALLS, call))
        await made.pass_()
        status = (await made.run()).status
        assert status.phase == "Failed"
        assert [m.role for m in status.messages] == ["user", "assistant", "tool"]
        assert status.messages[-1].content == "sunny"


async def test_no_tool_call_is_made_of_a_reply_that_was_cut_off_and_the_model_hears_of_it() -> None:
    model = Script(Reply(asks_for("echo"), ending="TokenLimit"), HI)
    async with asking(model) as made:
        await made.pass_()
        assert (await made.store.list(TOOL_CALLS, "default")).items == []
        await made.pass_()
        assert (await made.run()).status.phase == "FinalAnswer"
        assert [m.role for m in model.asked[-1]] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("said", "phase"), [("x " * 450_000, "FinalAnswer"), ("x" * 1_600_000, "Failed"), ("\x00" * 300_000, "Failed")]
)
async def test_a_huge_answer_is_kept_or_said_to_be_too_large_and_paid_for_once(said: str, phase: str) -> None:
    model = Script(Reply(Message(role="assistant", content=said)))
    async with asking(model) as made:
        assert await made.pass_() is None
        status = (await made.run()).status
        assert status.phase == phase
        if phase == "FinalAnswer":
            assert status.output == said
            earlier = await made.controller.checkpoints.transcripts.before_window(await made.run())
            assert [len(m.content or "") for m in [*earlier, *status.messages]] == [5, len(said)]
        else:
            assert "1,000,000" in status.error
        assert len(model.asked) == 1
