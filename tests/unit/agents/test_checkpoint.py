"""The status that a run is left with."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.agents.run import checkpoint, transcript, tries
from kubechain.agents.run.scene import Ask
from kubechain.agents.run.step import next_step
from kubechain.resources.message import Message
from kubechain.resources.model import is_true
from kubechain.resources.taskrun import Retry, TaskRun, TaskRunStatus
from tests.unit.agents.scenes import ask, asks_for, run, scene

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUESTION = Message(role="user", content="Hello?")
HI = Message(role="assistant", content="Hi.")


def after(of: TaskRun, question: Ask, reply: Reply) -> TaskRunStatus:
    """The status after a reply, judged as the controller does."""
    made = checkpoint.after(of, question, reply, NOW)
    assert isinstance(made, checkpoint.Checkpoint)
    return made.status


def test_a_reply_without_tool_calls_is_the_final_answer_in_one_status() -> None:
    status = after(run(), ask(QUESTION), Reply(HI, TokenCount(7, 3, 1)))
    assert (status.phase, status.output, status.turns, status.tokens) == ("FinalAnswer", "Hi.", 1, 10)
    assert [m.role for m in status.messages] == ["user", "assistant"]
    assert status.start_time == status.completion_time == "2026-01-02T03:04:05Z"
    assert [(c.status, c.reason, c.message) for c in status.conditions] == [
        ("True", "FinalAnswer", "Answered after 1 turn.")
    ]


def test_a_reply_with_tool_calls_keeps_running_and_says_what_it_waits_on() -> None:
    status = after(run(), ask(QUESTION), Reply(asks_for("a", "b")))
    assert (status.phase, status.waiting_on, status.completion_time) == ("Running", "tool:a, tool:b", "")
    assert not is_true(status.conditions, "Succeeded")


def test_usage_adds_up_over_turns() -> None:
    first = run()
    first.status = after(first, ask(QUESTION), Reply(asks_for("a"), TokenCount(1, 2, 3)))
    status = after(first, ask(), Reply(HI, TokenCount(10, 20, 30)))
    assert status.usage is not None
    assert (status.usage.input_tokens, status.usage.output_tokens, status.usage.cached_tokens) == (11, 22, 33)
    assert status.tokens == 33


def test_a_failure_says_why_and_keeps_the_conversation_with_what_led_to_the_question() -> None:
    result = Message(role="tool", tool_call_id="call_1", content="sunny")
    of = run(QUESTION, asks_for("echo"), turns=1)
    status = checkpoint.failed(of, ask(result, stored=1), "Unauthorized", "the key was refused", NOW).status
    assert (status.phase, status.error, status.agent) == ("Failed", "the key was refused", "helper")
    assert status.messages == [QUESTION, asks_for("echo"), result]
    assert (status.turns, status.stored_results) == (1, 1)
    assert [(c.status, c.reason) for c in status.conditions] == [("False", "Unauthorized")]


def test_an_answer_that_was_cut_off_counts_and_says_so() -> None:
    status = after(run(), ask(QUESTION, max_tokens=50), Reply(HI, finish="length", ending="TokenLimit"))
    assert (status.phase, status.output) == ("FinalAnswer", "Hi.")
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == ("True", "AnswerCutOff")
    assert "50 tokens (spec.parameters.maxTokens of LLM gpt)" in condition.message


def test_nothing_is_run_of_a_reply_that_was_cut_off_and_the_model_is_told_in_the_same_write() -> None:
    of = run()
    of.status = after(of, ask(QUESTION, max_tokens=50), Reply(asks_for("a", "b"), ending="TokenLimit"))
    assert (of.status.phase, of.status.turns) == ("Running", 1)
    assert [(m.role, m.tool_call_id) for m in of.status.messages[-2:]] == [("tool", "call_1"), ("tool", "call_2")]
    assert "nothing was run" in (of.status.messages[-1].content or "")
    assert transcript.names(of) == []
    again = next_step(scene(of))
    assert isinstance(again, Ask)
    assert again.unsaved == []


def test_replies_that_are_cut_off_again_and_again_fail_the_run_and_name_the_limit() -> None:
    of = run()
    for _ in range(tries.UNUSABLE):
        assert of.status.phase == "Running"
        of.status = after(of, ask(max_tokens=50), Reply(asks_for("a"), ending="TokenLimit"))
    assert of.status.phase == "Failed"
    assert "spec.parameters.maxTokens" in of.status.error
    assert of.status.messages[-1].role == "tool"


def test_a_reply_that_could_be_used_ends_the_count() -> None:
    of = run()
    of.status.retry = Retry(reason="EmptyReply", attempts=2, unusable=2)
    assert after(of, ask(), Reply(asks_for("a"))).retry is None
    assert after(of, ask(), Reply(HI)).retry is None


@pytest.mark.parametrize(
    ("ending", "reason"), [("Filtered", "ContentFiltered"), ("Refused", "Refused"), ("TokenLimit", "ReplyCutOff")]
)
def test_calls_that_are_not_made_are_answered_in_the_transcript_of_a_failed_run(
    ending: Ending, reason: str
) -> None:
    of = run()
    of.status.retry = Retry(unusable=tries.UNUSABLE - 1)
    status = after(of, ask(QUESTION), Reply(asks_for("a"), ending=ending))
    assert (status.phase, status.conditions[0].reason) == ("Failed", reason)
    assert [m.role for m in status.messages] == ["user", "assistant", "tool"]
    assert status.waiting_on == ""


def test_a_run_says_how_often_its_model_was_asked_in_vain_and_when_it_is_asked_again() -> None:
    retry = Retry(reason="Unreachable", attempts=3, next_time="2026-01-02T03:05:00Z")
    status = checkpoint.in_vain(run(phase="Running"), ask(), retry, "no route", TokenCount(5, 1))
    assert status.waiting_on == "llm:gpt (no route; asked 3 times, next at 2026-01-02T03:05:00Z)"
    assert (status.agent, status.tokens, status.retry) == ("helper", 6, retry)


def test_a_run_whose_conversation_does_not_fit_keeps_what_it_had_before() -> None:
    of = run(QUESTION, asks_for("echo"), turns=1)
    status = checkpoint.too_large(of, ask(HI), "it is too large", NOW)
    assert (status.phase, status.error) == ("Failed", "it is too large")
    assert status.messages == of.status.messages


def test_usage_that_nobody_told_is_unknown_and_not_zero() -> None:
    first = run()
    first.status = after(first, ask(QUESTION), Reply(asks_for("a"), TokenCount()))
    assert first.status.usage is not None
    assert msgspec.json.encode(first.status.usage) == b"{}"
    status = after(first, ask(), Reply(HI, TokenCount(0, 2)))
    assert msgspec.json.encode(status.usage) == b'{"inputTokens":0,"outputTokens":2}'
