"""What all kinds of tools have in common, shown with a kind of the test's own: retries, places, files, secrets.

The outcomes of the tool are given by the test, and every start is written into a journal.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Raw, json

from kubechain.agents.call.outcome import Artifact, Done, Parked
from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
)
from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.builtin import EVENTS, SECRETS, Secret
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.model import moment
from kubechain.resources.reference import EnvVar, SecretKeyRef, SecretSource
from kubechain.resources.tool import TOOLS, Tool, ToolRetries, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.resources.toolresult import TOOL_RESULTS
from kubechain.runtime.api import Api, Change, ListOptions, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.story.asked import ask, call_that, ended_run, meta

pytestmark = pytest.mark.timeout(60)
TWO = Raw(json.encode({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}))
Outcome = Done | Exception
Work = Callable[[ToolRun], Outcome]


class Asks:
    """A model that makes these calls in its first reply, and answers with all that it is told."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.told: list[str] = []

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        if messages[-1].role == "tool":
            self.told = [m.content or "" for m in messages if m.role == "tool"]
            return Reply(Message(role="assistant", content="done"))
        calls = [
            RequestedCall(id=f"call_{n}", function=FunctionCall(name=tools[0].name, arguments=given))
            for n, given in enumerate(self._arguments)
        ]
        return Reply(Message(role="assistant", tool_calls=calls))

    async def check(self, endpoint: Endpoint) -> str:
        return "ready"

    async def close(self) -> None:
        return None


class GivenRunner(ToolRunner):
    """Its tools do what the test gives; with `held`, each waits until the test lets one go."""

    kind = "given"

    def __init__(self, work: Work = lambda run: Done("ok"), *, held: bool = False) -> None:
        self._work = work
        self.journal: list[str] = []
        self.at_once = 0
        self.most = 0
        self.changed = asyncio.Condition()
        self._go = asyncio.Semaphore(0) if held else None

    def let_go(self, calls: int = 1) -> None:
        assert self._go is not None
        for _ in range(calls):
            self._go.release()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(holds)

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        return Described([Description(provider.metadata.name, "Does it.", TWO)], "FunctionFound", "ready")

    async def start(self, run: ToolRun) -> Done | Parked:
        self.journal.append(run.arguments.decode())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self._tell()
        try:
            if self._go is not None:
                await self._go.acquire()
            outcome = self._work(run)
        finally:
            self.at_once -= 1
            await self._tell()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def tool(effect: str = "ReadOnly", **spec: object) -> Tool:
    spec_ = ToolSpec(function=FunctionTool(entrypoint="m:f"), effect=effect, **spec)  # type: ignore[arg-type]
    return Tool(metadata=meta("it"), spec=spec_)


@asynccontextmanager
async def world(store: Store, model: Asks, runner: GivenRunner) -> AsyncIterator[None]:
    async with control_loops(store, Outside(model, (runner,), {})):
        yield


async def calls(api: Api) -> list[ToolCall]:
    listed = await api.list(TOOL_CALLS, "default", ListOptions())
    return sorted(listed.items, key=lambda call: call.metadata.name)


async def until_waiting(api: Api, text: str, count: int) -> None:
    """Returns once so many calls say that they wait for it."""
    waiting: set[str] = set()
    async with aclosing(api.watch(TOOL_CALLS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and text in event.object.status.waiting_on:
                waiting.add(event.key.name)
            if len(waiting) == count:
                return


async def test_eight_calls_of_one_reply_are_in_progress_at_once() -> None:
    model, runner = Asks(*(f'{{"n":{n}}}' for n in range(8))), GivenRunner(held=True)
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool())
        await ask(store, tool="it")
        await runner.until(lambda: runner.at_once == 8)
        runner.let_go(8)
        await ended_run(store)
    assert len(runner.journal) == 8


async def test_arguments_that_do_not_fit_never_start_the_tool_and_the_model_is_told_why() -> None:
    model, runner = Asks('{"n":"one"}', '{"n":2}', "[]"), GivenRunner()
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool())
        await ask(store, tool="it")
        await ended_run(store)
        ended = await calls(store)
    assert runner.journal == ['{"n":2}']
    assert [(c.status.phase, c.status.reason, c.status.attempts) for c in ended] == [
        ("Failed", "InvalidArguments", 0),
        ("Succeeded", "", 1),
        ("Failed", "InvalidArguments", 0),
    ]
    assert 'n: the value is not of type "integer"' in model.told[0]


async def test_a_schema_that_cannot_be_used_is_said_by_the_tool() -> None:
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, Asks(), GivenRunner()):
        await store.create(TOOLS, tool(parameters=Raw(b'{"type":"objekt"}')))
        async with aclosing(store.watch(TOOLS, "default", WatchOptions())) as events:
            async for event in events:
                if isinstance(event, Change) and event.object.status.status == "Error":
                    [ready] = event.object.status.conditions
                    assert ready.reason == "InvalidSchema" and "objekt" in ready.message
                    return


async def test_a_call_that_fails_for_a_while_is_tried_again_until_it_succeeds() -> None:
    outcomes: Iterator[Outcome] = iter(
        [ToolError("503", trouble="ServerError"), ToolError("429", trouble="RateLimited"), Done("at last")]
    )
    model, runner = Asks('{"n":1}'), GivenRunner(lambda run: next(outcomes))
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(retries=ToolRetries(max=2, backoff="10ms")))
        await ask(store, tool="it")
        await ended_run(store)
        [call] = await calls(store)
    assert (call.status.phase, call.status.attempts, call.status.retry) == ("Succeeded", 3, None)
    assert model.told == ["at last"] and len(runner.journal) == 3


async def test_the_model_is_told_of_the_last_failure_and_what_must_not_repeat_is_not_tried_again() -> None:
    model = Asks('{"n":1}')
    runner = GivenRunner(lambda run: ToolError("503 from the bank", trouble="ServerError"))
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(retries=ToolRetries(max=1, backoff="10ms")))
        await ask(store, tool="it")
        await ended_run(store)
        [call] = await calls(store)
    assert (call.status.reason, call.status.attempts) == ("ServerError", 2)
    assert model.told == ["Error: 503 from the bank (tried 2 times)"]


async def test_the_time_of_the_next_try_is_kept_over_a_restart(tmp_path: Path) -> None:
    outcomes: Iterator[Outcome] = iter([ToolError("429", trouble="RateLimited", retry_after=1.5), Done("ok")])
    model, runner = Asks('{"n":1}'), GivenRunner(lambda run: next(outcomes))
    async with asyncio.timeout(40), Store.open(tmp_path / "store.db", clock=now) as store:
        async with world(store, model, runner):
            await store.create(TOOLS, tool(retries=ToolRetries(max=1, backoff="10ms")))
            await ask(store, tool="it")
            async with aclosing(store.watch(TOOL_CALLS, "default", WatchOptions())) as events:
                async for event in events:
                    if isinstance(event, Change) and (retry := event.object.status.retry) is not None:
                        waiting_on = event.object.status.waiting_on
                        break
        assert retry is not None
        assert (retry.reason, retry.failures) == ("RateLimited", 1)
        assert f"tried 1 of 2 times, next at {retry.next_time}" in waiting_on
        async with world(store, model, runner):
            await ended_run(store)
            assert now() >= moment(retry.next_time)
    assert len(runner.journal) == 2


async def test_no_more_calls_than_there_are_places_run_and_the_others_say_so_and_follow() -> None:
    model, runner = Asks(*(f'{{"n":{n}}}' for n in range(6))), GivenRunner(held=True)
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(max_concurrent=2))
        await ask(store, tool="it")
        await until_waiting(store, "tool:it is busy (2 of 2)", 4)
        for done in range(1, 5):
            runner.let_go()
            await runner.until(lambda done=done: len(runner.journal) == 2 + done)  # type: ignore[misc]
        runner.let_go(2)
        await ended_run(store)
        ended = await calls(store)
    assert runner.most == 2
    assert [c.status.phase for c in ended] == ["Succeeded"] * 6
    assert all(not c.status.waiting_on for c in ended)


async def test_a_waiting_call_that_is_deleted_leaves_its_place_to_the_next() -> None:
    model, runner = Asks(*(f'{{"n":{n}}}' for n in range(3))), GivenRunner(held=True)
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(max_concurrent=1))
        await ask(store, tool="it")
        await until_waiting(store, "is busy (1 of 1)", 2)
        _, *waiting = sorted(await calls(store), key=lambda call: call.status.phase != "Running")
        await store.delete(TOOL_CALLS, waiting[0].metadata.name, "default")
        runner.let_go()
        await runner.until(lambda: len(runner.journal) >= 2)
        runner.let_go(2)
        await ended_run(store)
    assert runner.most == 1


async def test_a_tool_that_is_not_parallel_takes_the_calls_of_a_run_in_their_order() -> None:
    model, runner = Asks(*(f'{{"n":{n}}}' for n in range(4))), GivenRunner()
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(parallel=False))
        await ask(store, tool="it")
        await ended_run(store)
    assert runner.journal == [f'{{"n":{n}}}' for n in range(4)]
    assert runner.most == 1


async def test_a_result_over_the_limit_is_cut_and_a_file_is_stored_and_told_of() -> None:
    png = b"\x89PNG" + bytes(range(256))
    runner = GivenRunner(lambda run: Done("x" * 5000, (Artifact(png, "image/png", "chart.png"),)))
    model = Asks('{"n":1}')
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        await store.create(TOOLS, tool(result_limit="1Ki"))
        await ask(store, tool="it")
        await ended_run(store)
        [call] = await calls(store)
        [artifact] = call.status.artifacts
        part = await store.get(TOOL_RESULTS, f"{artifact.stored}-1", "default")
    assert call.status.result.startswith("x" * 1024 + "\n[cut: the first 1,024 of 5,000 bytes")
    assert base64.b64decode(part.spec.content) == png
    assert model.told[0].endswith(f"[file {call.metadata.name}/chart.png: image/png, 260 bytes]")


@pytest.mark.parametrize("fails", [True, False])
async def test_no_secret_of_the_tool_reaches_the_model_the_status_or_an_event(fails: bool) -> None:
    def work(run: ToolRun) -> Done | Exception:
        text = f"token {run.env['TOKEN']} in mode {run.env['MODE']}"
        return ToolError(text) if fails else Done(text)

    model, runner = Asks('{"n":1}'), GivenRunner(work)
    env = [
        EnvVar(name="MODE", value="production"),
        EnvVar(name="TOKEN", value_from=SecretSource(secret_key_ref=SecretKeyRef(name="s", key="k"))),
    ]
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, model, runner):
        secret = Secret(metadata=meta("s"), data={"k": base64.b64encode(b"hunter2-hunter2").decode()})
        await store.create(SECRETS, secret)
        one = tool()
        assert one.spec.function is not None
        one.spec.function.env = env
        await store.create(TOOLS, one)
        await ask(store, tool="it")
        await ended_run(store)
        [call] = await calls(store)
        events = (await store.list(EVENTS, "default", ListOptions())).items
    shown = str((model.told, call.status, [event.note for event in events]))
    assert "hunter2" not in shown and "token [redacted] in mode production" in shown


async def test_a_call_that_a_person_makes_needs_no_run_and_goes_the_same_way() -> None:
    runner = GivenRunner(lambda run: Done("three"))
    async with asyncio.timeout(40), Store.open(None, clock=now) as store, world(store, Asks(), runner):
        await store.create(TOOLS, tool())
        for name, given in (("good", '{"n":1}'), ("bad", "{}")):
            spec = ToolCallSpec(
                tool_call_id="try", tool="it", arguments=given, origin=ToolOrigin(kind="Tool", name="it")
            )
            await store.create(TOOL_CALLS, ToolCall(metadata=meta(name), spec=spec))
            await call_that(store, "Succeeded" if name == "good" else "Failed")
        bad, good = await calls(store)
    assert (good.status.result, bad.status.reason) == ("three", "InvalidArguments")
    assert runner.journal == ['{"n":1}']
