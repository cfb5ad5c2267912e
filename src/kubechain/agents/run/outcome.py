"""What follows from a reply of the model, by its content and its ending. Pure; checkpoint.py saves it.

A reply that is not complete runs no tools, because its calls may be incomplete.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

import msgspec

from kubechain.agents.ports.model import Reply
from kubechain.agents.run.tries import UNUSABLE
from kubechain.resources.llm import LLM
from kubechain.resources.message import Message
from kubechain.resources.taskrun import Retry

LARGEST = 1_000_000
"""Bytes of one reply that an object can hold beside the rest."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """The reply is kept. `cut` says why the answer is not complete, if it was cut off."""

    cut: str = ""


class CutCalls(msgspec.Struct, frozen=True, gc=False):
    """The reply was cut off where it called tools: none is run. `why` is for people, `told` for the model."""

    why: str
    told: str


class InVain(msgspec.Struct, frozen=True, gc=False):
    """The reply has no usable content: the model is asked again, a few times."""

    reason: str
    why: str


class Failure(msgspec.Struct, frozen=True, gc=False):
    """The run fails. The reply is part of its transcript, unless it is `too_large`."""

    reason: str
    why: str
    too_large: bool = False


Outcome: TypeAlias = Kept | CutCalls | InVain | Failure


def outcome(reply: Reply, llm: LLM, retry: Retry | None) -> Outcome:
    """What follows. `retry` counts the unusable replies before this one."""
    message = reply.message
    says, calls = bool((message.content or "").strip()), bool(message.tool_calls)
    if (weight := bytes_of(message)) > LARGEST:
        return Failure(
            "ReplyTooLarge",
            f"the model's reply has {weight:,} bytes, and a run can keep {LARGEST:,} of one reply; make it write "
            f"less, or set spec.parameters.maxTokens of LLM {llm.metadata.name}",
            too_large=True,
        )
    match reply.ending:
        case "Complete" if says or calls:
            return Kept()
        case "Complete":
            word = reply.finish or "none"
            return InVain(
                "EmptyReply", f"the model replied with neither text nor tool calls (finish reason: {word})"
            )
        case "TokenLimit":
            return _at_the_limit(reply, llm, says, retry)
        case "Filtered":
            return Failure("ContentFiltered", f"the provider's content filter stopped the reply{_said(message)}")
        case "Refused":
            return Failure("Refused", f"the model refused to answer (finish reason: refusal){_said(message)}")
        case "Unfinished":
            word = reply.finish or "none"
            return InVain(
                "UnfinishedReply", f"the model stopped before its reply was done (finish reason: {word})"
            )
        case _:
            assert_never(reply.ending)


def bytes_of(message: Message) -> int:
    """How much of an object a message takes; exact where that could matter."""
    characters = len(message.content or "") + len(message.opaque)
    characters += sum(len(call.function.arguments) for call in message.tool_calls)
    return characters if characters < LARGEST // 8 else len(msgspec.json.encode(message))


def _at_the_limit(reply: Reply, llm: LLM, says: bool, retry: Retry | None) -> Outcome:
    limit = llm.spec.parameters.max_tokens
    field = f"spec.parameters.maxTokens of LLM {llm.metadata.name}"
    if limit is None:
        where, mend = f"its token limit (the provider's own, since {field} is not set)", "set it"
    else:
        where, mend = f"its limit of {limit} tokens ({field})", "raise it"
    if reply.message.tool_calls:
        why = f"the reply was cut off at {where} in the middle of a tool call; nothing was run"
        if (retry.unusable if retry else 0) + 1 >= UNUSABLE:
            return Failure("ReplyCutOff", f"{why}, {UNUSABLE} times in a row; {mend}")
        return CutCalls(why, _told(limit))
    if says:
        return Kept(f"the answer was cut off at {where}; {mend} and ask again")
    return Failure(
        "TokenLimitReached",
        f"the reply reached {where} before it said anything, for instance by reasoning; {mend}",
    )


def _told(limit: int | None) -> str:
    """What the model is told in place of each result."""
    tokens = f" of {limit} tokens" if limit else ""
    return (
        f"Error: nothing was run: your reply was cut off at its limit{tokens} in the middle of its tool calls. "
        "Call again with shorter arguments, or in smaller steps."
    )


def _said(message: Message) -> str:
    """The text of the reply, shortened."""
    text = " ".join((message.content or "").split())
    if not text:
        return ""
    return f'; it says: "{text if len(text) <= 300 else text[:299] + "…"}"'
