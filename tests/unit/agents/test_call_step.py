"""next_call_step as a table: what a tool call does next, and what becomes of one that was cut off."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubechain.agents.call.step import CallIdle, CallWait, Execute, HandOut, LoseTrack, Refuse, next_call_step
from kubechain.resources.mcpserver import MCPServer, MCPServerSpec, MCPServerStatus, MCPTool
from kubechain.resources.tool import ExternalTool, FunctionTool, Tool, ToolSpec, ToolStatus
from tests.unit.agents.scenes import call, meta


def tool(effect: str | None = None, on_interrupt: str | None = None, ready: bool = True) -> Tool:
    spec = ToolSpec(function=FunctionTool(entrypoint="m:f"), timeout="2s")
    spec.effect, spec.on_interrupt = effect, on_interrupt  # type: ignore[assignment]
    return Tool(metadata=meta("echo"), spec=spec, status=ToolStatus(ready=ready))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "OutcomeUnknown"])
def test_a_call_that_is_over_is_left_alone(phase: str) -> None:
    assert next_call_step(call("c", phase), tool()) == CallIdle()


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
    step = next_call_step(call("c"), tool(effect, stated))
    assert isinstance(step, Execute)
    assert step.mark is mark
    assert step.nature.timeout == 2.0


@pytest.mark.parametrize(
    ("effect", "stated", "becomes"),
    [
        ("ReadOnly", None, Execute),
        ("Idempotent", None, Execute),
        ("NonIdempotent", None, LoseTrack),
        (None, None, LoseTrack),
        ("NonIdempotent", "Retry", Execute),
        ("NonIdempotent", "Fail", Refuse),
        ("ReadOnly", "Ask", LoseTrack),
    ],
)
def test_a_call_found_running_follows_the_policy_of_its_tool(
    effect: str | None, stated: str | None, becomes: type
) -> None:
    assert isinstance(next_call_step(call("c", "Running"), tool(effect, stated)), becomes)


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '"x"'])
def test_arguments_that_are_no_json_object_are_refused_with_a_text_for_the_model(arguments: str) -> None:
    made = call("c")
    step = next_call_step(replace(made, spec=replace(made.spec, arguments=arguments)), tool())
    assert isinstance(step, Refuse)
    assert "send one JSON object" in step.error


def test_a_tool_that_the_model_made_up_is_refused() -> None:
    made = call("c")
    step = next_call_step(replace(made, spec=replace(made.spec, origin=None)), None)
    assert isinstance(step, Refuse)
    assert "echo" in step.error


def test_a_tool_that_is_gone_or_not_ready_is_waited_for_by_name() -> None:
    assert next_call_step(call("c"), None) == CallWait('Tool "echo" not found')
    waiting = next_call_step(call("c"), tool(ready=False))
    assert isinstance(waiting, CallWait)
    assert waiting.on.startswith("Tool echo")


def test_an_mcp_tool_has_the_nature_its_server_hints_at() -> None:
    status = MCPServerStatus(ready=True, tools=[MCPTool(name="read", effect="ReadOnly")])
    server = MCPServer(metadata=meta("s"), spec=MCPServerSpec(transport="stdio", command="x"), status=status)
    made = call("c")
    origin = replace(made.spec.origin, kind="MCPServer", name="s", tool="read")  # type: ignore[type-var]
    step = next_call_step(replace(made, spec=replace(made.spec, origin=origin)), server)
    assert isinstance(step, Execute)
    assert (step.nature.effect, step.mark) == ("ReadOnly", False)


def test_work_done_outside_is_handed_out_once_and_then_waited_for_without_end() -> None:
    outside = tool()
    outside.spec.function, outside.spec.external = None, ExternalTool()
    assert next_call_step(call("c"), outside) == HandOut()
    assert next_call_step(call("c", "Running"), outside) == CallIdle()
