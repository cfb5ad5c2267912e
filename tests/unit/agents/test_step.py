"""next_step as a table: from what is observed to the one thing that is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kubechain.agents.ports.model import Reply
from kubechain.agents.run import checkpoint, transcript
from kubechain.agents.run.outcome import Kept
from kubechain.agents.run.scene import Ask, CreateCalls, Idle, Scene, Wait
from kubechain.agents.run.step import next_step
from kubechain.resources.message import Message
from kubechain.resources.taskrun import TaskRun
from tests.unit.agents.scenes import agent, ask, asks_for, call, llm, run, scene, task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC)
SYSTEM = Message(role="system", content="Be kind.")
QUESTION = Message(role="user", content="Hello?")


def names(of: TaskRun) -> list[str]:
    return transcript.names(of)


def test_a_new_run_asks_with_the_system_prompt_as_written_and_the_question() -> None:
    step = next_step(scene(run(phase="Pending")))
    assert isinstance(step, Ask)
    assert step.unsaved == [SYSTEM, QUESTION]
    assert [t.name for t in step.tools] == ["echo"]


def test_a_run_with_its_own_message_asks_that_instead_of_the_tasks() -> None:
    step = next_step(scene(run(question="Other?")))
    assert isinstance(step, Ask)
    assert step.unsaved[-1].content == "Other?"


def test_a_conversation_so_far_is_gone_on_from_and_keeps_its_own_system_prompt() -> None:
    context = [Message(role="system", content="Mine."), QUESTION, Message(role="assistant", content="Yes?")]
    step = next_step(scene(run(), task=task(None, context)))
    assert isinstance(step, Ask)
    assert step.unsaved == context


def test_a_reply_in_the_context_window_that_asked_for_tools_is_not_called_again() -> None:
    context = [QUESTION, asks_for("echo")]
    assert isinstance(next_step(scene(run(), task=task(None, context))), Ask)


@pytest.mark.parametrize("phase", ["FinalAnswer", "Failed"])
def test_a_finished_run_is_left_alone(phase: str) -> None:
    assert next_step(scene(run(QUESTION, asks_for("echo"), turns=1, phase=phase))) == Idle()


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"task": None, "agent": None, "llm": None}, "task:t "),
        ({"agent": None, "llm": None}, "agent:helper "),
        ({"agent": agent(ready=False)}, "agent:helper "),
        ({"agent": agent(generation=2)}, "agent:helper "),
        ({"llm": None}, "llm:gpt "),
        ({"llm": llm(ready=False)}, 'llm:gpt (Secret "s" not found)'),
    ],
)
def test_what_is_not_there_yet_is_waited_for_by_name(missing: dict[str, object], named: str) -> None:
    step = next_step(scene(run(phase="Pending"), **missing))
    assert isinstance(step, Wait)
    assert step.on.startswith(named)
    assert step.reason == ""


def test_a_reply_with_tool_calls_has_every_child_made_under_its_computed_name() -> None:
    of = run(QUESTION, asks_for("echo", "made_up"), turns=1)
    step = next_step(scene(of))
    assert isinstance(step, CreateCalls)
    assert [name for name, _ in step.missing] == names(of)
    assert [spec.tool for _, spec in step.missing] == ["echo", "made_up"]
    assert step.missing[0][1].origin is not None
    assert step.missing[1][1].origin is None


def test_only_the_missing_children_are_made_after_a_crash_between_two_of_them() -> None:
    of = run(QUESTION, asks_for("echo", "echo"), turns=1)
    first, second = names(of)
    step = next_step(scene(of, call(first, "Succeeded")))
    assert isinstance(step, CreateCalls)
    assert [name for name, _ in step.missing] == [second]


def test_children_are_made_even_when_the_task_was_deleted_meanwhile() -> None:
    of = run(QUESTION, asks_for("echo"), turns=1)
    assert isinstance(next_step(Scene(of)), CreateCalls)


def test_a_run_waits_until_all_expected_children_have_results() -> None:
    of = run(QUESTION, asks_for("echo", "echo"), turns=1)
    first, second = names(of)
    step = next_step(scene(of, call(first, "Succeeded"), call(second, "Running")))
    assert step == Wait("tool:echo, tool:echo", "ToolCallsRequested")


def test_a_run_whose_calls_are_at_work_stands_as_its_checkpoint_left_it() -> None:
    of = run(turns=0)
    reply = Reply(asks_for("echo", "echo"))
    of.status = checkpoint.after_reply(of, ask(QUESTION), reply, Kept(), NOW).status
    first, second = names(of)
    step = next_step(scene(of, call(first, "Succeeded"), call(second, "Pending")))
    assert isinstance(step, Wait)
    assert checkpoint.waiting(of, step, LATER) == of.status


def test_a_call_whose_outcome_is_unknown_is_named_until_it_is_settled() -> None:
    of = run(QUESTION, asks_for("echo", "other"), turns=1)
    lost, open_ = names(of)
    step = next_step(scene(of, call(lost, "OutcomeUnknown"), call(open_, "Running")))
    assert isinstance(step, Wait)
    assert step.on == f"tool:echo (outcome unknown: see toolcall {lost}), tool:echo"
    of.status = checkpoint.waiting(of, step, NOW)
    assert [(c.status, c.reason) for c in of.status.conditions] == [("Unknown", "OutcomeUnknown")]
    assert checkpoint.waiting(of, step, LATER) == of.status
    repeated = next_step(scene(of, call(lost, "Running"), call(open_, "Running")))
    assert isinstance(repeated, Wait)
    of.status = checkpoint.waiting(of, repeated, LATER)
    assert [(c.status, c.reason) for c in of.status.conditions] == [("Unknown", "ToolCallsRequested")]
    assert of.status.waiting_on == "tool:echo, tool:other"


def test_a_run_that_is_being_deleted_is_left_alone() -> None:
    of = run(phase="Pending")
    of.metadata.deletion_timestamp = "2026-01-02T03:04:05Z"
    assert next_step(scene(of)) == Idle()


@pytest.mark.parametrize(
    "messages", [[QUESTION, asks_for("echo", "made_up")], [QUESTION, Message(role="assistant", content="Hi.")]]
)
def test_the_checkpoint_and_a_later_look_find_the_same_calls_due(messages: list[Message]) -> None:
    of = run(*messages, turns=1)
    step = next_step(scene(of))
    due = transcript.due(of, agent())
    assert due == (step.missing if isinstance(step, CreateCalls) else [])
    assert transcript.due(of, agent(), transcript.names(of)[:1]) == due[1:]


def test_results_go_back_in_call_order_with_errors_as_text() -> None:
    of = run(QUESTION, asks_for("echo", "echo"), turns=1)
    first, second = names(of)
    done = scene(of, call(second, "Failed", error="no such city"), call(first, "Succeeded", result="sunny"))
    step = next_step(done)
    assert isinstance(step, Ask)
    assert [(m.tool_call_id, m.content) for m in step.unsaved] == [
        ("call_1", "sunny"),
        ("call_2", "Error: no such city"),
    ]


def test_children_of_another_turn_or_an_older_run_of_the_same_name_do_not_count() -> None:
    of = run(QUESTION, asks_for("echo"), turns=2)
    older = names(run(QUESTION, asks_for("echo"), turns=1))[0]
    assert isinstance(next_step(scene(of, call(older, "Succeeded"))), CreateCalls)
