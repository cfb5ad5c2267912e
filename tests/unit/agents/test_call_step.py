"""next_call_step as a table: what a tool call does next, and what becomes of one that was cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from kubechain.agents.call.outcome import Done, Failure, Interruption, Parked, Unserved
from kubechain.agents.call.scene import CallScene, Execution, ToolState
from kubechain.agents.call.step import (
    DEATHS,
    Abandon,
    CallIdle,
    CallWait,
    Fail,
    GiveBack,
    Look,
    LoseTrack,
    Park,
    Refuse,
    Repeat,
    Show,
    Start,
    Stop,
    Succeed,
    next_call_step,
)
from kubechain.agents.ports.tool import Nature, nature_of
from kubechain.errors import Forbidden
from kubechain.resources.mcpserver import MCPServer, MCPServerSpec, MCPServerStatus, MCPTool
from kubechain.resources.tool import Tool, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.resources.toolcall import ExternalWork, ToolCall
from tests.unit.agents.scenes import call, meta, run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEVER_TWICE = Nature("NonIdempotent", "Ask", 2.0)
REPEATABLE = Nature("ReadOnly", "Retry", 2.0)
HANDLE = ExternalWork(id="job-1")
REFUSED = Forbidden("may not get toolcalls")


def tool(effect: str | None = None, on_interrupt: str | None = None) -> Tool:
    spec = ToolSpec(function=FunctionTool(entrypoint="m:f"), timeout="2s")
    spec.effect, spec.on_interrupt = effect, on_interrupt  # type: ignore[assignment]
    return Tool(metadata=meta("echo"), spec=spec)


def scene(made: ToolCall, nature: Nature = REPEATABLE, execution: Execution | None = None) -> CallScene:
    return CallScene(made, run(), ToolState(nature), NOW, execution)


def with_spec(**changes: Any) -> ToolCall:
    made = call("c")
    return replace(made, spec=replace(made.spec, **changes))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "OutcomeUnknown"])
def test_a_call_that_is_over_is_left_alone_and_what_still_runs_for_it_ends(phase: str) -> None:
    assert next_call_step(scene(call("c", phase))) == CallIdle()
    assert next_call_step(scene(call("c", phase), execution=Execution(REPEATABLE))) == Stop()


@pytest.mark.parametrize(
    ("effect", "stated", "mark"),
    [
        ("ReadOnly", None, False),
        ("Idempotent", None, False),
        ("NonIdempotent", None, True),
        (None, None, True),
        ("NonIdempotent", "Retry", True),
        ("Idempotent", "Fail", True),
        ("ReadOnly", "Ask", True),
    ],
)
def test_only_what_must_not_repeat_is_marked_before_it_starts(
    effect: str | None, stated: str | None, mark: bool
) -> None:
    nature = nature_of(tool(effect, stated))
    assert nature.timeout == 2.0
    assert next_call_step(scene(call("c"), nature)) == Start(mark)


@pytest.mark.parametrize(
    ("effect", "stated", "becomes"),
    [
        ("ReadOnly", None, Start),
        ("Idempotent", None, Start),
        ("NonIdempotent", None, LoseTrack),
        (None, None, LoseTrack),
        ("NonIdempotent", "Retry", Start),
        ("NonIdempotent", "Fail", Refuse),
        ("ReadOnly", "Ask", LoseTrack),
    ],
)
def test_a_call_found_running_by_nobody_follows_the_policy_of_its_tool(
    effect: str | None, stated: str | None, becomes: type
) -> None:
    assert isinstance(next_call_step(scene(call("c", "Running"), nature_of(tool(effect, stated)))), becomes)


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '"x"'])
def test_arguments_that_are_no_json_object_are_refused_with_a_text_for_the_model(arguments: str) -> None:
    step = next_call_step(scene(with_spec(arguments=arguments)))
    assert isinstance(step, Refuse)
    assert "send one JSON object" in step.error


def test_a_tool_that_the_model_made_up_is_refused() -> None:
    step = next_call_step(CallScene(with_spec(origin=None), run(), None, NOW))
    assert isinstance(step, Refuse)
    assert "echo" in step.error


def test_a_run_or_a_tool_that_is_not_there_or_not_ready_is_waited_for_by_name() -> None:
    assert next_call_step(CallScene(call("c"), None, ToolState(REPEATABLE), NOW)) == CallWait(
        'TaskRun "r" not found'
    )
    assert next_call_step(CallScene(call("c"), run(), None, NOW)) == CallWait('Tool "echo" not found')
    unready = ToolState(REPEATABLE, ready=False, detail="no module m")
    assert next_call_step(CallScene(call("c"), run(), unready, NOW)) == CallWait("Tool echo: no module m")


def test_an_mcp_tool_has_the_nature_its_server_hints_at() -> None:
    status = MCPServerStatus(ready=True, tools=[MCPTool(name="read", effect="ReadOnly")])
    server = MCPServer(metadata=meta("s"), spec=MCPServerSpec(transport="stdio", command="x"), status=status)
    assert nature_of(server, "read") == Nature("ReadOnly", "Retry", 300.0)
    assert nature_of(server, "write") == Nature("NonIdempotent", "Ask", 300.0)


@pytest.mark.parametrize(
    ("phase", "execution", "step"),
    [
        ("Pending", Execution(REPEATABLE), CallIdle()),
        ("Pending", Execution(REPEATABLE, lasting=True), Show()),
        ("Running", Execution(REPEATABLE, lasting=True), CallIdle()),
        ("Running", Execution(REPEATABLE, Done("2")), Succeed(Done("2"))),
        ("Running", Execution(REPEATABLE, Failure("no")), Fail("no")),
        ("Pending", Execution(REPEATABLE, Parked(HANDLE)), Park(Parked(HANDLE))),
        ("Running", Execution(NEVER_TWICE, Interruption("late", timed_out=True)), Fail("late", "Timeout")),
        ("Running", Execution(NEVER_TWICE, Interruption("died")), LoseTrack("died")),
        ("Running", Execution(Nature("ReadOnly", "Fail", 2.0), Interruption("died")), Fail("died", "Interrupted")),
        ("Pending", Execution(REPEATABLE, Interruption("died")), Repeat("died")),
        ("Pending", Execution(REPEATABLE, Unserved(REFUSED)), GiveBack(REFUSED)),
    ],
)
def test_what_became_of_a_tool_decides(phase: str, execution: Execution, step: object) -> None:
    assert next_call_step(scene(call("c", phase), execution=execution)) == step
    gone = CallScene(call("c", phase), run(), None, NOW, execution)
    assert next_call_step(gone) == step, "a deleted tool changes nothing about what was started"


def test_a_tool_whose_process_keeps_dying_is_given_up_by_a_count_in_the_object() -> None:
    made = call("c")
    made = replace(made, status=replace(made.status, deaths=DEATHS - 1))
    step = next_call_step(scene(made, execution=Execution(REPEATABLE, Interruption("died"))))
    assert step == Fail(f"died (tried {DEATHS} times)", "Interrupted")


def test_work_elsewhere_is_looked_at_when_it_is_time_and_after_a_restart() -> None:
    made = call("c", "Running")
    made = replace(made, status=replace(made.status, external=HANDLE))
    later = NOW + timedelta(seconds=5)
    assert next_call_step(scene(made, NEVER_TWICE)) == Look()
    assert next_call_step(scene(made, execution=Execution(REPEATABLE, until=later))) == CallIdle(later)
    assert next_call_step(scene(made, execution=Execution(REPEATABLE, until=NOW))) == Look()
    by_hand = CallScene(made, run(), ToolState(NEVER_TWICE, looks=False), NOW)
    assert next_call_step(by_hand) == CallIdle(), "someone writes the result"


@pytest.mark.parametrize("execution", [None, Execution(NEVER_TWICE), Execution(NEVER_TWICE, Done("2"))])
def test_what_is_being_deleted_is_not_begun_and_what_was_begun_ends(execution: Execution | None) -> None:
    deleted = replace(call("c"), metadata=replace(meta("c"), deletion_timestamp="2026-01-01T00:00:00Z"))
    assert next_call_step(scene(deleted, execution=execution)) == Stop()
    ending = replace(run(), metadata=replace(meta("hello"), deletion_timestamp="2026-01-01T00:00:00Z"))
    assert next_call_step(CallScene(call("c"), ending, ToolState(NEVER_TWICE), NOW, execution)) == Stop()
    if execution is not None:
        assert next_call_step(CallScene(call("c"), None, ToolState(NEVER_TWICE), NOW, execution)) == Stop()


def test_a_call_whose_run_has_failed_is_given_up_unless_its_result_is_there() -> None:
    failed = run(phase="Failed")
    at_work = replace(scene(call("c"), execution=Execution(REPEATABLE)), run=failed)
    assert next_call_step(at_work) == Abandon("its TaskRun r has failed")
    assert next_call_step(replace(at_work, execution=None)) == Abandon("its TaskRun r has failed")
    done = replace(at_work, execution=Execution(REPEATABLE, Done("fine")))
    assert isinstance(next_call_step(done), Succeed)


def test_a_call_that_awaits_a_sub_agent_is_looked_at_when_it_is_woken() -> None:
    waiting = call("c", "AwaitingSubAgent", external=HANDLE)
    assert next_call_step(scene(waiting)) == Look()
