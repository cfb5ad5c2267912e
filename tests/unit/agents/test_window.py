"""A conversation handed in: which field cannot be sent, and that no run begins with it."""

from __future__ import annotations

import pytest

from kubechain.agents.run.scene import Ask, Fail
from kubechain.agents.run.step import next_step
from kubechain.agents.run.window import problem
from kubechain.resources.message import Message
from tests.unit.agents.scenes import asks_for, run, scene, task

USER = Message(role="user", content="hi")
SYSTEM = Message(role="system", content="be brief")
HI = Message(role="assistant", content="hello")
CALLS = asks_for("echo")
RESULT = Message(role="tool", tool_call_id="call_1", content="ok")


@pytest.mark.parametrize(
    "window",
    [
        [USER],
        [SYSTEM, USER],
        [USER, HI],
        [USER, CALLS],
        [USER, CALLS, USER],
        [USER, CALLS, RESULT],
        [USER, CALLS, RESULT, CALLS, RESULT, USER],
        [CALLS, Message(role="tool", tool_call_id="call_1", content="")],
    ],
)
def test_what_can_be_sent_or_mended_is_no_problem(window: list[Message]) -> None:
    assert problem(window) is None
    assert isinstance(next_step(scene(run(phase="Pending"), task=task(None, window))), Ask)


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ([], "spec.contextWindow:"),
        ([SYSTEM], "spec.contextWindow:"),
        ([USER, RESULT], "spec.contextWindow[1].toolCallId:"),
        ([USER, CALLS, USER, RESULT], "spec.contextWindow[3].toolCallId:"),
        ([USER, CALLS, RESULT, RESULT], "spec.contextWindow[3].toolCallId:"),
        ([USER, CALLS, Message(role="tool", content="ok")], "spec.contextWindow[2].toolCallId:"),
        ([Message(role="user", content="")], "spec.contextWindow[0].content:"),
        ([USER, Message(role="user")], "spec.contextWindow[1].content:"),
        ([Message(role="system", content=" "), USER], "spec.contextWindow[0].content:"),
        ([Message(role="user", content="x", tool_calls=CALLS.tool_calls)], "spec.contextWindow[0].toolCalls:"),
    ],
)
def test_the_first_field_that_cannot_be_sent_is_named(window: list[Message], field: str) -> None:
    assert (problem(window) or "").startswith(field)
    step = next_step(scene(run(phase="Pending"), task=task(None, window), agent=None, llm=None))
    assert isinstance(step, Fail)
    assert step.reason == "InvalidContextWindow"
    assert f'Task "t": {field}' in step.message


def test_a_run_that_has_begun_is_not_judged_by_what_its_task_says_now() -> None:
    step = next_step(scene(run(USER, HI, turns=1, phase="FinalAnswer"), task=task(None, [SYSTEM])))
    assert not isinstance(step, Fail)
