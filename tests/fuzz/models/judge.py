"""What must hold of every reply, and what of one that arrived as it was meant. Pure.

Each yields a sentence for what is wrong; none for a delivery that came out right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from kubechain.agents.ports.model import Reply
from kubechain.agents.run.outcome import InVain, Kept, outcome
from kubechain.agents.run.tries import LIMITS, TIMEOUTS, counted, spent
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.kept import loads
from kubechain.resources.llm import LLM
from kubechain.resources.message import Message
from kubechain.resources.taskrun import Retry
from tests.fuzz.models.delivery import Delivery

FREE = frozenset({"Unreachable", "Unavailable", "RateLimited", "QuotaExceeded"})
"""Reasons for which a run may ask as often as it takes: no reply was made."""
OF_LIBRARIES = re.compile(r"<[A-Z]\w+|ssl:|aiohttp|msgspec|Traceback|Errno|object at 0x|\bOpenAI\b|Anthropic\b")


def reply_wrong(delivery: Delivery, reply: Reply, llm: LLM) -> Iterator[str]:
    """What is wrong with a reply."""
    if delivery.cut:
        yield f"a reply was made of an answer whose end is missing: {reply.message}"
    yield from _storable(reply)
    intended = delivery.intent
    said = [(call.function.name, call.function.arguments) for call in reply.message.tool_calls]
    if delivery.faithful:
        if reply.message.content != (intended.text or None):
            yield f"text {reply.message.content!r} where {intended.text!r} was meant"
        if [(name, _read(text)) for name, text in said] != [(name, _read(text)) for name, text in intended.calls]:
            yield f"calls {said} where {intended.calls} were meant"
        if (reply.ending == "Complete") != intended.whole:
            yield f"ending {reply.ending} where {intended.ending} was meant"
        if intended.thought and intended.thought not in _thoughts(reply):
            yield f"the thought {intended.thought!r} is lost"
    yield from _bounded(delivery, reply, llm)


def _storable(reply: Reply) -> Iterator[str]:
    encoded = msgspec.json.encode(reply.message)
    if msgspec.json.decode(encoded, type=Message) != reply.message:
        yield "the message is another one once it was stored"
    ids = [call.id for call in reply.message.tool_calls]
    if len(set(ids)) != len(ids) or not all(ids):
        yield f"ids that cannot be told apart: {ids}"
    if reply.message.opaque and loads(reply.message.opaque) is None:
        yield "what is kept cannot be read again"
    if reply.ending == "Complete" and any(not call.function.arguments for call in reply.message.tool_calls):
        yield "a complete reply with a call of no arguments"


def _bounded(delivery: Delivery, reply: Reply, llm: LLM) -> Iterator[str]:
    """Whether a run that gets this reply again and again ends, and runs nothing of a reply that was cut."""
    retry: Retry | None = None
    for _ in range(TIMEOUTS + 1):
        match outcome(reply, llm, retry):
            case InVain(reason, why):
                retry = counted(retry, reason)
                if not why or reason not in LIMITS:
                    yield f"in vain for {reason!r} without an end or a word"
                if spent(retry):
                    return
            case Kept():
                if reply.message.tool_calls and reply.ending != "Complete":
                    yield f"tools run for a reply that ended {reply.ending}"
                return
            case _:
                return
    yield "asked without end"


def error_wrong(delivery: Delivery, error: Transient | Terminal) -> Iterator[str]:
    """What is wrong with an error."""
    text = str(error)
    if delivery.faithful:
        yield f"no reply, though all of it arrived: {text}"
    if not text.startswith("LLM default/"):
        yield f"an error that names no object: {text}"
    if found := OF_LIBRARIES.search(re.sub(r'"[^"]*"', "", text)):
        yield f"the words of a library ({found[0]}): {text}"
    if isinstance(error, Transient) and error.reason not in LIMITS and error.reason not in FREE:
        yield f"tried again without end for {error.reason}: {text}"


def _read(arguments: str) -> object:
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _thoughts(reply: Reply) -> str:
    kept = loads(reply.message.opaque)
    if kept is None:
        return ""
    blocks = kept.blocks if isinstance(kept.blocks, msgspec.Raw) else msgspec.Raw(b"[]")
    found = [msgspec.json.decode(value) for value in kept.fields.values()]
    found += [block.get("thinking", "") for block in msgspec.json.decode(blocks)]
    return "".join(one for one in found if isinstance(one, str))
