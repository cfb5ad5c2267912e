"""An answer on Anthropic's wire, whole or as a stream of events -> a Reply.

adapter.py calls it. Pure, and lenient where servers differ. Thinking comes with a signature over its very words,
so it is kept block by block in `Message.opaque`: messages.py sends it back. What cannot be read raises one of
UNREADABLE.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.providers.models import lenient
from kubechain.providers.models.anthropic.blocks import REDACTED, Block
from kubechain.providers.models.kept import Kept, dumps
from kubechain.resources.message import FunctionCall, Message, RequestedCall

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
_NULL = Raw(b"null")
_FINISH: Mapping[str, str] = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
_ENDINGS: Mapping[str, Ending] = {
    "max_tokens": "TokenLimit",
    "model_context_window_exceeded": "TokenLimit",
    "length": "TokenLimit",
    "content_filter": "Filtered",
    "refusal": "Refused",
    "pause_turn": "Unfinished",
    "error": "Unfinished",
}
"""What stop reasons other than an end mean."""


class Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Content(msgspec.Struct):
    """A block of a message, or what an event adds to one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: Raw = _NULL
    name: str | None = None
    input: Raw = _NULL
    partial_json: str | None = None
    stop_reason: str | None = None


class Said(msgspec.Struct):
    """A whole message, or one event of a stream; `error` stands in place of both."""

    type: str = ""
    content: list[Content] | str | None = None
    stop_reason: str | None = None
    usage: Raw = _NULL
    error: Raw = _NULL
    message: Raw = _NULL
    index: int = 0
    content_block: Content | None = None
    delta: Content | None = None

    @property
    def complains(self) -> bool:
        return self.type == "error" or bytes(self.error) != b"null"


_SAID = msgspec.json.Decoder(Said)
_USAGE = msgspec.json.Decoder(Usage | None)


def read(body: bytes, level: int) -> Said:
    """A message or an event; `level` is where a tool's input begins, should it nest without end."""
    try:
        if not body.isascii():
            body.decode()
        return _SAID.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _SAID.decode(lenient.mended(body, level))


class _Part:
    """One block, as far as it has arrived."""

    def __init__(self, start: Content) -> None:
        self.start = start
        self.id = _id(start.id)
        self.texts = [start.text or start.thinking or ""]
        self.signature = start.signature or start.data or ""
        self.pieces: list[str] = []

    def add(self, delta: Content) -> str:
        """Takes what an event adds, and returns text that people read."""
        self.texts.append(delta.text or delta.thinking or "")
        self.signature += delta.signature or ""
        if delta.partial_json:
            self.pieces.append(delta.partial_json)
        return delta.text or ""

    @property
    def text(self) -> str:
        return lenient.joined("".join(self.texts))

    @property
    def arguments(self) -> str:
        """As the model wrote them; "" where it wrote none."""
        if self.pieces:
            return lenient.arguments("".join(self.pieces)).strip()
        given = bytes(self.start.input)
        if given[:1] == b'"':
            return lenient.arguments(msgspec.json.decode(given, type=str))
        return (
            "" if given in (b"null", b"{}") else lenient.arguments(msgspec.json.format(given, indent=-1).decode())
        )


def _id(raw: Raw) -> str:
    value = bytes(raw)
    if value[:1] == b'"':
        return lenient.joined(msgspec.json.decode(value, type=str))
    return "" if value == b"null" else value.decode()


class Assembly:
    """One reply, taken event by event; a whole message is taken at once."""

    def __init__(self, earlier: int) -> None:
        self.finish = ""
        self.ended = False
        """Whether the server said that nothing more comes."""
        self.said = False
        """Whether the last event said anything."""
        self._earlier = earlier
        self._usage = Usage()
        self._parts: list[_Part] = []
        self._by_index: dict[int, _Part] = {}

    @property
    def empty(self) -> bool:
        return not self._parts

    def whole(self, message: Said) -> None:
        """Takes a whole message."""
        content = message.content or []
        blocks = [Content(type="text", text=content)] if isinstance(content, str) else content
        self._parts = [_Part(block) for block in blocks]
        self.finish, self.ended = message.stop_reason or "", True
        self._count(message.usage)

    def add(self, event: Said) -> str:
        """Takes one event and returns the text it adds."""
        self.said = event.type != "ping"
        self._count(event.usage)
        if event.type == "message_start" and bytes(event.message)[:1] == b"{":
            self._count(_SAID.decode(event.message).usage)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._begin(event.index, event.content_block)
            return event.content_block.text or ""
        elif event.type == "content_block_delta" and event.delta is not None:
            return self._delta(event.index, event.delta)
        elif event.type == "message_delta" and event.delta is not None:
            self.finish = event.delta.stop_reason or self.finish
        elif event.type == "message_stop":
            self.ended = True
        return ""

    def _delta(self, index: int, delta: Content) -> str:
        self.said = bool(delta.text or delta.thinking or delta.signature or delta.partial_json)
        part = self._by_index.get(index)
        if part is None:
            kind = {"input_json_delta": "tool_use", "thinking_delta": "thinking"}.get(delta.type, "text")
            part = self._begin(index, Content(type=kind))
        return part.add(delta)

    def _begin(self, index: int, block: Content) -> _Part:
        """A block, also where a server gives each of them the same index."""
        part = self._by_index[index] = _Part(block)
        self._parts.append(part)
        return part

    def _count(self, raw: Raw) -> None:
        """Wrong counts never fail a reply; later counts replace earlier ones."""
        try:
            counted = _USAGE.decode(raw)
        except msgspec.DecodeError:
            return
        for name in Usage.__struct_fields__:
            if counted is not None and (count := getattr(counted, name)) is not None:
                setattr(self._usage, name, count)

    @property
    def breaks_off(self) -> bool:
        """Whether the last block is a tool call whose input is not whole."""
        last = self._parts[-1] if self._parts else None
        if last is None or last.start.type != "tool_use" or not last.arguments:
            return False
        try:
            msgspec.json.decode(last.arguments, type=Raw)
        except UNREADABLE:
            return True
        return False

    def reply(self) -> Reply:
        """The assistant's message, the count of tokens, how it ended."""
        ending = _ENDINGS.get(self.finish, "Complete")
        blocks: list[Block] = []
        texts: list[str] = []
        calls: list[RequestedCall] = []
        for part in self._parts:
            match part.start.type:
                case "text":
                    texts.append(part.text)
                    blocks.append(Block(text=len(part.text)))
                case "thinking":
                    blocks.append(Block(part.text, part.signature or UNSET))
                case "redacted_thinking":
                    blocks.append(Block("", part.signature or UNSET, REDACTED))
                case "tool_use":
                    calls.append(self._requested(part, calls, ending))
                    blocks.append(Block(call=calls[-1].id))
        thinks = any(isinstance(block.thinking, str) for block in blocks)
        opaque = dumps(Kept(wire="anthropic", blocks=Raw(msgspec.json.encode(blocks)))) if thinks else ""
        message = Message(role="assistant", content="".join(texts) or None, tool_calls=calls, opaque=opaque)
        finish = _FINISH.get(self.finish, self.finish)
        return Reply(message, self._tokens(), "tool_calls" if calls and finish in ("", "stop") else finish, ending)

    def _requested(self, part: _Part, before: list[RequestedCall], ending: Ending) -> RequestedCall:
        """Ids that are missing or repeated are counted on from the calls of the conversation: call_03."""
        id_, taken = part.id, {call.id for call in before}
        if not id_ or id_ in taken:
            id_ = f"call_{self._earlier + len(before) + 1:02d}"
        while id_ in taken:
            id_ += "x"
        arguments = part.arguments or ("{}" if ending == "Complete" else "")
        name = lenient.joined(part.start.name or "")
        return RequestedCall(id=id_, function=FunctionCall(name=name, arguments=arguments))

    def _tokens(self) -> TokenCount:
        """What was read from or written to the cache is input as well."""
        used = self._usage
        if used.input_tokens is None:
            return TokenCount(None, used.output_tokens, used.cache_read_input_tokens)
        cached = (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
        return TokenCount(used.input_tokens + cached, used.output_tokens, used.cache_read_input_tokens)
