"""The status that a run is left with."""

from __future__ import annotations

from datetime import UTC, datetime

from kubechain.agents.ports.model import Reply, TokenCount
from kubechain.agents.run import checkpoint
from kubechain.resources.message import Message
from kubechain.resources.model import is_true
from tests.unit.agents.scenes import asks_for, run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUESTION = Message(role="user", content="Hello?")


def test_a_reply_without_tool_calls_is_the_final_answer_in_one_status() -> None:
    reply = Reply(Message(role="assistant", content="Hi."), TokenCount(7, 3, 1))
    status = checkpoint.after_reply(run(), "helper", [QUESTION], reply, NOW)
    assert (status.phase, status.output, status.turns, status.tokens) == ("FinalAnswer", "Hi.", 1, 10)
    assert [m.role for m in status.messages] == ["user", "assistant"]
    assert status.start_time == status.completion_time == "2026-01-02T03:04:05Z"
    assert is_true(status.conditions, "Succeeded")


def test_a_reply_with_tool_calls_keeps_running_and_says_what_it_waits_on() -> None:
    status = checkpoint.after_reply(run(), "helper", [QUESTION], Reply(asks_for("a", "b")), NOW)
    assert (status.phase, status.waiting_on, status.completion_time) == ("Running", "tool:a, tool:b", "")
    assert not is_true(status.conditions, "Succeeded")


def test_usage_adds_up_over_turns() -> None:
    first = run()
    first.status = checkpoint.after_reply(
        first, "helper", [QUESTION], Reply(asks_for("a"), TokenCount(1, 2, 3)), NOW
    )
    status = checkpoint.after_reply(
        first, "helper", [], Reply(Message(role="assistant"), TokenCount(10, 20, 30)), NOW
    )
    assert status.usage is not None
    assert (status.usage.input_tokens, status.usage.output_tokens, status.usage.cached_tokens) == (11, 22, 33)
    assert status.tokens == 33


def test_a_failure_says_why_and_keeps_the_conversation() -> None:
    status = checkpoint.failed(run(QUESTION), "Unauthorized", "the key was refused", NOW)
    assert (status.phase, status.error, status.messages) == ("Failed", "the key was refused", [QUESTION])
    assert [(c.status, c.reason) for c in status.conditions] == [("False", "Unauthorized")]
