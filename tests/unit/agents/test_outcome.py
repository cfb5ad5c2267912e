"""What follows from a reply, by what it holds and how it ended."""

from __future__ import annotations

from typing import get_args

import pytest

from kubechain.agents.ports.model import Ending, Reply
from kubechain.agents.run import tries
from kubechain.agents.run.outcome import LARGEST, CutCalls, Failure, InVain, Kept, outcome
from kubechain.resources.message import Message
from kubechain.resources.taskrun import Retry
from tests.unit.agents.scenes import asks_for, llm

TEXT = Message(role="assistant", content="Once upon")
CALLS = asks_for("echo")
BOTH = Message(role="assistant", content="I will", tool_calls=CALLS.tool_calls)
EMPTY = Message(role="assistant", content=" ")
THOUGHT = Message(role="assistant", opaque='{"wire":"chat"}')


@pytest.mark.parametrize(
    ("ending", "message", "becomes", "reason"),
    [
        ("Complete", TEXT, Kept, ""),
        ("Complete", CALLS, Kept, ""),
        ("Complete", EMPTY, InVain, "EmptyReply"),
        ("Complete", THOUGHT, InVain, "EmptyReply"),
        ("TokenLimit", TEXT, Kept, ""),
        ("TokenLimit", CALLS, CutCalls, ""),
        ("TokenLimit", BOTH, CutCalls, ""),
        ("TokenLimit", EMPTY, Failure, "TokenLimitReached"),
        ("TokenLimit", THOUGHT, Failure, "TokenLimitReached"),
        ("Filtered", TEXT, Failure, "ContentFiltered"),
        ("Filtered", CALLS, Failure, "ContentFiltered"),
        ("Filtered", EMPTY, Failure, "ContentFiltered"),
        ("Refused", TEXT, Failure, "Refused"),
        ("Refused", CALLS, Failure, "Refused"),
        ("Refused", EMPTY, Failure, "Refused"),
        ("Unfinished", TEXT, InVain, "UnfinishedReply"),
        ("Unfinished", CALLS, InVain, "UnfinishedReply"),
    ],
)
def test_a_reply_stands_or_not_by_how_it_ended(
    ending: Ending, message: Message, becomes: type, reason: str
) -> None:
    made = outcome(Reply(message, ending=ending), llm(), None)
    assert isinstance(made, becomes)
    assert getattr(made, "reason", "") == reason


@pytest.mark.parametrize("ending", [e for e in get_args(Ending) if e != "Complete"])
def test_only_the_calls_of_a_complete_reply_are_made(ending: Ending) -> None:
    for count in range(tries.UNUSABLE):
        assert not isinstance(outcome(Reply(BOTH, ending=ending), llm(), Retry(unusable=count)), Kept)


@pytest.mark.parametrize("limit", [None, 50])
@pytest.mark.parametrize("message", [TEXT, CALLS, THOUGHT])
def test_what_the_token_limit_cut_off_names_the_field_that_raises_it(message: Message, limit: int | None) -> None:
    model = llm()
    model.spec.parameters.max_tokens = limit
    made = outcome(Reply(message, ending="TokenLimit"), model, None)
    said = made.cut if isinstance(made, Kept) else made.why
    assert "spec.parameters.maxTokens of LLM gpt" in said
    assert limit is None or "50 tokens" in said


def test_a_refusal_is_quoted_and_shortened() -> None:
    made = outcome(Reply(Message(role="assistant", content="I cannot.\n" * 100), ending="Refused"), llm(), None)
    assert isinstance(made, Failure)
    assert 'it says: "I cannot. I cannot.' in made.why
    assert len(made.why) < 500


@pytest.mark.parametrize("ending", get_args(Ending))
def test_a_reply_that_no_object_can_hold_fails_the_run_and_is_not_kept(ending: Ending) -> None:
    huge = asks_for("echo")
    huge.tool_calls[0].function.arguments = "x" * (LARGEST + 1)
    for message in (huge, Message(role="assistant", content="\x00" * (LARGEST // 6 + 1))):
        made = outcome(Reply(message, ending=ending), llm(), None)
        assert isinstance(made, Failure)
        assert (made.reason, made.too_large) == ("ReplyTooLarge", True)
        assert "spec.parameters.maxTokens of LLM gpt" in made.why


def test_tries_are_counted_by_what_they_cost() -> None:
    retry = None
    for reason in ("Unreachable", "Timeout", "EmptyReply", "RateLimited", "UnreadableReply"):
        retry = tries.counted(retry, reason)
        assert tries.spent(retry) is None
    assert retry == Retry(reason="UnreadableReply", attempts=5, unusable=2, timeouts=1)
    assert tries.spent(tries.counted(retry, "Unavailable")) is None
    assert tries.spent(tries.counted(retry, "EmptyReply")) == tries.UNUSABLE


@pytest.mark.parametrize(("reason", "limit"), tries.LIMITS.items())
def test_what_may_have_been_paid_for_is_asked_for_a_bounded_number_of_times(reason: str, limit: int) -> None:
    retry = None
    for _ in range(limit):
        assert retry is None or tries.spent(retry) is None
        retry = tries.counted(retry, reason)
    assert retry is not None
    assert tries.spent(retry) == limit
