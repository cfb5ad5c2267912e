"""The shapes of a chat-completions answer, whole or one piece of a stream, as servers really send them.

completions.py reads bytes into them, reply.py makes a Reply of them. Pure. What differs from server to server (ids
and indexes that are numbers or text, arguments as text or as an object) is kept as the bytes it came as and read
by `word`, `place` and `text_of`. What cannot be read raises one of UNREADABLE.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.agents.ports.model import TokenCount
from kubechain.providers.models.lenient import mended

ARGUMENTS = 8
"""choices, choice, message, tool_calls, call, function: how deep arguments stand that come as an object."""
_NULL = Raw(b"null")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""What reading raises; OverflowError where a stream grows past its bounds."""


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class AnyFunction(msgspec.Struct):
    name: Raw = _NULL
    arguments: Raw = _NULL


class AnyCall(msgspec.Struct):
    index: Raw = _NULL
    id: Raw = _NULL
    function: AnyFunction | None = None
    extra_content: Raw | UnsetType = UNSET


class AnyMessage(msgspec.Struct):
    """A whole message, or what one piece adds to it."""

    content: Raw = _NULL
    tool_calls: list[AnyCall] | None = None
    refusal: str | None = None
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET


class ContentPart(msgspec.Struct):
    """A part of a content that is a list; only parts of type text have a text."""

    text: str | None = None


class Choice(msgspec.Struct):
    """`error` is what a gateway says of the model behind it."""

    message: AnyMessage | None = None
    delta: AnyMessage | None = None
    finish_reason: str | None = None
    error: Raw = _NULL


class Answer(msgspec.Struct):
    """A whole answer or one piece of it; `error` is what some servers send under status 200."""

    choices: list[Choice] | None = None
    usage: Raw = _NULL
    error: Raw = _NULL
    object: Raw = _NULL
    message: Raw = _NULL
    detail: Raw = _NULL

    @property
    def choice(self) -> Choice | None:
        return self.choices[0] if self.choices else None

    @property
    def complains(self) -> bool:
        """Whether it is an error instead of an answer, or of a piece of it."""
        inner = self.choice
        if inner is not None:
            return given(self.error) or given(inner.error)
        return given(self.error) or given(self.message) or given(self.detail) or bytes(self.object) == b'"error"'


_ANSWER = msgspec.json.Decoder(Answer)
_USAGE = msgspec.json.Decoder(Usage | None)


def read(body: bytes) -> Answer:
    """One answer; half surrogates, bytes that are no UTF-8 and arguments without end are mended first."""
    try:
        if not body.isascii():
            body.decode()
        return _ANSWER.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _ANSWER.decode(mended(body, ARGUMENTS))


def given(raw: Raw | UnsetType) -> bool:
    """Whether the field exists and has a value."""
    return isinstance(raw, Raw) and bytes(raw) not in (b"null", b'""', b"[]", b"{}", b"false")


def word(raw: Raw) -> str:
    """A name or an id, which some servers send as a number; "" for null."""
    value = bytes(raw)
    if value[:1] == b'"':
        return msgspec.json.decode(value, type=str)
    return "" if value == b"null" else value.decode()


def place(raw: Raw) -> int | None:
    """An index, also one sent as text."""
    text = word(raw)
    return int(text) if text.isdecimal() else None


def text_of(content: Raw) -> str:
    """The text in a content that is null, a string, or a list of parts."""
    raw = bytes(content)
    if raw[:1] == b'"':
        return msgspec.json.decode(raw, type=str)
    if raw[:1] != b"[":
        return ""
    parts = msgspec.json.decode(raw, type=list[ContentPart | str])
    return "".join(part if isinstance(part, str) else part.text or "" for part in parts)


def usage(raw: Raw) -> TokenCount:
    """Wrong counts never fail a reply: what cannot be read is unknown."""
    try:
        counted = _USAGE.decode(raw)
    except msgspec.DecodeError:
        counted = None
    if counted is None:
        return TokenCount()
    details = counted.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    if cached is None:
        cached = counted.prompt_cache_hit_tokens
    return TokenCount(counted.prompt_tokens, counted.completion_tokens, cached)
