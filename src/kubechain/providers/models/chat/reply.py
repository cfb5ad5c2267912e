"""The bytes of a chat-completions answer, whole or in pieces -> a Reply.

chat.py calls it. Pure, and lenient where servers differ: missing or repeated ids, arguments as an object, a tool
call whose finish reason is `stop`, counts that are absent. What cannot be read raises msgspec.DecodeError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.providers.models.kept import Kept, dumps
from kubechain.resources.message import FunctionCall, Message, RequestedCall

_ENDINGS: Mapping[str, Ending] = {
    "length": "TokenLimit",
    "content_filter": "Filtered",
    "refusal": "Refused",
    "error": "Unfinished",
}
"""What finish reasons other than an end mean; they stay what they are even when tool calls came."""


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class AnyFunction(msgspec.Struct):
    name: str | None = None
    arguments: Raw = Raw(b"null")


class AnyCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: AnyFunction | None = None
    extra_content: Raw | UnsetType = UNSET


class AnyMessage(msgspec.Struct):
    """A whole message, or what one piece adds to it."""

    content: Raw = Raw(b"null")
    tool_calls: list[AnyCall] | None = None
    refusal: str | None = None
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET


class ContentPart(msgspec.Struct):
    """A part of a content that is a list; only parts of type text have a text."""

    text: str | None = None


class Choice(msgspec.Struct):
    message: AnyMessage | None = None
    delta: AnyMessage | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct):
    """A whole answer or one piece of it; `error` is what some servers send under status 200."""

    choices: list[Choice] | None = None
    usage: Raw = Raw(b"null")
    error: Raw | UnsetType = UNSET


_ANSWER = msgspec.json.Decoder(Answer)
_USAGE = msgspec.json.Decoder(Usage | None)


def read(body: bytes) -> Answer:
    """Raises msgspec.DecodeError."""
    return _ANSWER.decode(body)


def reply(answer: Answer, host: str, earlier: Sequence[Message]) -> Reply | None:
    """The reply in a whole answer from `host` to the messages `earlier`; None where it holds no message."""
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None:
        return None
    assembly = Assembly(host, earlier)
    assembly.take(choice.message)
    assembly.finish = choice.finish_reason or ""
    assembly.usage = usage(answer.usage)
    assembly.fields |= _kept_fields(choice.message)
    return assembly.reply()


def _kept_fields(message: AnyMessage) -> dict[str, Raw]:
    """What goes back byte for byte: the reasoning, and a content that is a list of parts."""
    reasoning = (
        ("reasoning_content", message.reasoning_content),
        ("reasoning", message.reasoning),
        ("reasoning_details", message.reasoning_details),
    )
    found = {
        name: value.copy()
        for name, value in reasoning
        if isinstance(value, Raw) and bytes(value) not in (b"null", b'""', b"[]")
    }
    if bytes(message.content)[:1] == b"[":
        found["content"] = message.content.copy()
    return found


def usage(raw: Raw) -> TokenCount:
    """Counts never fail a reply: what cannot be read is 0."""
    try:
        counted = _USAGE.decode(raw)
    except msgspec.DecodeError:
        counted = None
    if counted is None:
        return TokenCount()
    details = counted.prompt_tokens_details
    cached = (details and details.cached_tokens) or counted.prompt_cache_hit_tokens
    return TokenCount(counted.prompt_tokens or 0, counted.completion_tokens or 0, cached or 0)


def text_of(content: Raw) -> str:
    """The text in a content that is null, a string, or a list of parts."""
    raw = bytes(content)
    if raw[:1] == b'"':
        return msgspec.json.decode(raw, type=str)
    if raw[:1] != b"[":
        return ""
    parts = msgspec.json.decode(raw, type=list[ContentPart | str])
    return "".join(part if isinstance(part, str) else part.text or "" for part in parts)


class _Call:
    """One tool call as far as it has come."""

    def __init__(self, id_: str) -> None:
        self.id, self.name = id_, ""
        self.arguments: list[str] = []
        self.extra: Raw | UnsetType = UNSET


class Assembly:
    """One reply, taken piece by piece; a whole message is one piece."""

    def __init__(self, host: str, earlier: Sequence[Message]) -> None:
        self.host = host
        self.earlier = earlier
        self.finish = ""
        self.usage = TokenCount()
        self.fields: dict[str, Raw] = {}
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[dict[str, object]] = []

    def add(self, answer: Answer) -> str:
        """Takes one piece of a stream and returns the text it adds."""
        if bytes(answer.usage) != b"null":
            self.usage = usage(answer.usage)
        choice = answer.choices[0] if answer.choices else None
        if choice is None:
            return ""
        self.finish = choice.finish_reason or self.finish
        piece = choice.delta or choice.message
        if piece is None:
            return ""
        self._reason(piece)
        return self.take(piece)

    def take(self, message: AnyMessage) -> str:
        """Takes text and tool calls, and returns the text."""
        text = text_of(message.content) or message.refusal or ""
        if message.refusal:
            self.finish = "refusal"
        if text:
            self._text.append(text)
        for call in message.tool_calls or ():
            self._take_call(call)
        return text

    def _take_call(self, piece: AnyCall) -> None:
        call = self._called(piece)
        call.id = call.id or piece.id or ""
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            call.arguments.append(_arguments(piece.function.arguments))
        if isinstance(piece.extra_content, Raw):
            call.extra = piece.extra_content.copy()

    def _called(self, piece: AnyCall) -> _Call:
        """The call that a piece belongs to. Some servers send no index, others the index 0 for every call."""
        named = piece.function is not None and bool(piece.function.name)
        known = self._calls[-1] if piece.index is None and self._calls else None
        if piece.index is not None:
            known = self._by_index.get(piece.index)
        other = known is not None and bool(piece.id) and piece.id != known.id
        if known is None or (named and (other or piece.index is None)):
            known = _Call(piece.id or "")
            self._calls.append(known)
            if piece.index is not None:
                self._by_index[piece.index] = known
        return known

    def _reason(self, piece: AnyMessage) -> None:
        for name, raw in (("reasoning_content", piece.reasoning_content), ("reasoning", piece.reasoning)):
            if isinstance(raw, Raw) and (text := text_of(raw)):
                self._reasoning.setdefault(name, []).append(text)
        if isinstance(piece.reasoning_details, Raw) and bytes(piece.reasoning_details) != b"null":
            for detail in msgspec.json.decode(piece.reasoning_details, type=list[dict[str, object]]):
                self._add_detail(detail)

    def _add_detail(self, detail: dict[str, object]) -> None:
        """A detail continues the last one of its type and index: texts are joined, the rest replaces."""
        last = self._details[-1] if self._details else None
        if last is None or any(last.get(name) != detail.get(name) for name in ("type", "index")):
            self._details.append(detail)
            return
        for name, value in detail.items():
            before = last.get(name)
            if name in ("text", "summary", "data") and isinstance(before, str) and isinstance(value, str):
                last[name] = before + value
            elif value is not None:
                last[name] = value

    def reply(self) -> Reply:
        """The assistant's message, the count of tokens, the normalised finish reason."""
        ending = _ENDINGS.get(self.finish, "Complete")
        calls = self._requested(ending)
        finish = "tool_calls" if calls and ending == "Complete" else self.finish
        message = Message(
            role="assistant", content="".join(self._text) or None, tool_calls=calls, opaque=self._opaque()
        )
        return Reply(message, self.usage, finish, ending)

    def _requested(self, ending: Ending) -> list[RequestedCall]:
        """Ids that are missing or repeated are counted on from the calls of the conversation: call_03."""
        taken: set[str] = set()
        requested = []
        for position, call in enumerate(self._calls, 1):
            if not call.id or call.id in taken:
                count = sum(len(message.tool_calls) for message in self.earlier)
                call.id = f"call_{count + position:02d}"
            taken.add(call.id)
            arguments = "".join(call.arguments)
            if ending == "Complete" and not arguments.strip():
                arguments = "{}"
            function = FunctionCall(name=call.name, arguments=arguments)
            requested.append(RequestedCall(id=call.id, function=function))
        return requested

    def _opaque(self) -> str:
        fields = dict(self.fields)
        for name, texts in self._reasoning.items():
            fields[name] = Raw(msgspec.json.encode("".join(texts)))
        if self._details:
            fields["reasoning_details"] = Raw(msgspec.json.encode(self._details))
        calls = {call.id: call.extra for call in self._calls if isinstance(call.extra, Raw)}
        if not fields and not calls:
            return ""
        return dumps(Kept(wire="chat", host=self.host, fields=fields, calls=calls))


def _arguments(raw: Raw) -> str:
    """Arguments as the model wrote them; some servers send the object itself instead of its text."""
    value = bytes(raw)
    if value == b"null":
        return ""
    return msgspec.json.decode(value, type=str) if value[:1] == b'"' else value.decode()
