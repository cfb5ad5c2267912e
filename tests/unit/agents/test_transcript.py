"""What is sent of a conversation that strict servers refuse, and that a clean one is sent as it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from kubechain.agents.ports.model import Reply
from kubechain.agents.run import checkpoint, transcript
from kubechain.agents.run.outcome import Kept
from kubechain.agents.run.scene import Ask
from kubechain.agents.run.step import next_step
from kubechain.agents.run.transcript import NO_RESULT, NO_TEXT, is_fit, mended, result_message
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from tests.unit.agents.scenes import ask, asks_for, call, run, scene, task
from tests.unit.agents.test_checkpoint import NOW

HELLO = Message(role="user", content="Hello?")
ODD_ARGUMENTS = ["", "  ", "null", "[]", "7", '{"x": "He said "hello""}', '{"x":' * 2000, '"\ud83d"', "{"]
ODD_NAMES = ["", "multi_tool_use.parallel", "look up", "x" * 65, "ü"]


def calling(*asked: tuple[str, str, str]) -> Message:
    made = [RequestedCall(id=i, function=FunctionCall(name=n, arguments=a)) for i, n, a in asked]
    return Message(role="assistant", tool_calls=made)


def result(id_: str, text: str | None = "ok") -> Message:
    return Message(role="tool", tool_call_id=id_, content=text)


def _reads_as_object(text: str) -> bool:
    try:
        return isinstance(json.decode(text.encode()), dict)
    except (ValueError, RecursionError):
        return False


def refusal(messages: list[Message]) -> str | None:
    """What a strict server would say."""
    unanswered: list[str] = []
    seen: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in unanswered:
                return "a result without its call"
            unanswered.remove(message.tool_call_id)
            if not (message.content or "").strip():
                return "an empty result"
            continue
        if unanswered:
            return "a call without its result"
        for made in message.tool_calls:
            if made.id in seen or not made.id:
                return "an id that is taken"
            seen.add(made.id)
            unanswered.append(made.id)
            if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", made.function.name):
                return "an illegal name"
            if not _reads_as_object(made.function.arguments):
                return "arguments that are no object"
        if message.role == "assistant" and not message.tool_calls and not (message.content or "").strip():
            return "a reply that says nothing"
    return "a call without its result" if unanswered else None


IDS = st.sampled_from(["a", "b", ""])
MESSAGES = st.one_of(
    st.just(HELLO),
    st.builds(Message, role=st.just("assistant"), content=st.sampled_from([None, " ", "Hi."])),
    st.builds(result, IDS, st.sampled_from([None, "", " \n", "ok"])),
    st.lists(
        st.tuples(IDS, st.sampled_from(["echo", *ODD_NAMES]), st.sampled_from(["{}", '{"a": 1}', *ODD_ARGUMENTS])),
        min_size=1,
        max_size=3,
    ).map(lambda made: calling(*made)),
)


@given(st.lists(MESSAGES, max_size=12))
def test_whatever_was_said_is_sent_so_that_a_strict_server_takes_it(messages: list[Message]) -> None:
    sent = mended(messages)
    assert refusal(sent) is None
    assert mended(sent) == sent
    if refusal(messages) is None:
        assert sent == messages


@given(st.lists(MESSAGES, max_size=6), MESSAGES)
def test_a_reply_counts_as_fit_only_where_it_is_sent_as_it_is(before: list[Message], reply: Message) -> None:
    before = mended(before)
    results = [result(made.id) for made in reply.tool_calls]
    if reply.role == "assistant" and reply.tool_calls and is_fit(reply, before):
        assert mended([*before, reply, *results]) == [*before, reply, *results]


@pytest.mark.parametrize("arguments", ODD_ARGUMENTS[3:])
def test_unreadable_arguments_are_shown_to_the_model_inside_of_an_object(arguments: str) -> None:
    (reply, _) = mended([calling(("c", "echo", arguments))])
    sent = json.decode(reply.tool_calls[0].function.arguments)
    assert sent["INVALID_JSON"].startswith(arguments[:1].encode(errors="replace").decode())
    assert len(sent["INVALID_JSON"]) <= 1000


def test_a_call_that_was_never_answered_gets_a_result_that_says_so() -> None:
    asked = asks_for("echo", "echo")
    sent = mended([HELLO, asked, result("call_2"), HELLO])
    assert [m.content for m in sent] == ["Hello?", None, "ok", NO_RESULT, "Hello?"]


def test_an_id_that_comes_again_is_told_apart_and_its_result_goes_with_it() -> None:
    asked = calling(("c", "echo", "{}"), ("c", "echo", "{}"))
    sent = mended(
        [asked, result("c", "one"), result("c", "two"), asked, result("c", "three"), result("c", "four")]
    )
    assert [(m.tool_call_id, m.content) for m in sent if m.role == "tool"] == [
        ("c", "one"), ("c_2", "two"), ("c_3", "three"), ("c_4", "four"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "odd",
    [
        *[calling(("c", "echo", arguments)) for arguments in ODD_ARGUMENTS],
        *[calling(("c", name, "{}")) for name in ODD_NAMES],
        calling(("call_1", "echo", "{}")),
        calling(("c", "echo", "{}"), ("c", "echo", "{}")),
    ],
)
def test_a_run_says_that_its_conversation_is_mended_and_keeps_it_as_it_was_said(odd: Message) -> None:
    of = run(HELLO, asks_for("echo"), turns=1)
    of.status = checkpoint.after_reply(of, ask(result("call_1")), Reply(odd), Kept(), NOW).status
    assert of.status.mended
    assert of.status.messages[-1] == odd
    done = [call(name, "Succeeded", result="ok") for name in transcript.names(of)]
    question = next_step(scene(of, *done))
    assert isinstance(question, Ask)
    assert question.mended


def test_a_clean_conversation_is_not_looked_at_again() -> None:
    of = run()
    of.status = checkpoint.after_reply(of, ask(HELLO), Reply(asks_for("echo")), Kept(), NOW).status
    assert not of.status.mended


def test_a_conversation_handed_in_is_mended_from_the_first_question_on() -> None:
    given_ = task(None, [HELLO, calling(("c", "echo", ""))])
    step = next_step(scene(run(phase="Pending"), task=given_))
    assert isinstance(step, Ask)
    assert step.mended
    clean = next_step(scene(run(phase="Pending"), task=task(None, [HELLO, asks_for("echo"), result("call_1")])))
    assert isinstance(clean, Ask)
    assert not clean.mended


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_tool_that_returns_nothing_is_told_as_such(text: str) -> None:
    made = call("c", "Succeeded", result=text)
    assert result_message(asks_for("echo").tool_calls[0], made).content == NO_TEXT
