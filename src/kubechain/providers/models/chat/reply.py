"""A chat-completions answer, whole or in pieces -> a Reply.

completions.py calls it. Pure, and lenient where servers differ: a tool call whose finish reason is `stop`, counts
that are absent, half an emoji at the end of a piece. A piece of a tool call belongs to the call of its id or its
index; where neither tells (every call has the index 0, or none; ids are empty, missing or new in every piece) a
name begins a new call once the arguments of the last one are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.providers.models import lenient
from kubechain.providers.models.chat.answer import Answer, AnyCall, AnyMessage, given, place, text_of, usage, word
from kubechain.providers.models.kept import Kept, dumps
from kubechain.providers.models.lenient import joined, joined_json
from kubechain.resources.message import FunctionCall, Message, RequestedCall

_ENDINGS: Mapping[str, Ending] = {
    "length": "TokenLimit",
    "max_tokens": "TokenLimit",
    "content_filter": "Filtered",
    "refusal": "Refused",
    "error": "Unfinished",
    "abort": "Unfinished",
    "pause_turn": "Unfinished",
}
"""What finish reasons other than an end mean; they stay what they are even when tool calls came."""
LONGEST_ID = 256
"""Characters of an id that is sent back as it came; a longer one gets an id of ours."""


def reply(answer: Answer, host: str, earlier: Sequence[Message]) -> Reply | None:
    """The reply in a whole answer from `host` to the messages `earlier`; None where it holds no message."""
    choice = answer.choice
    if choice is None or choice.message is None:
        return None
    assembly = Assembly(host, earlier)
    assembly.whole(choice.message)
    assembly.finish = assembly.finish or choice.finish_reason or ""
    assembly.usage = usage(answer.usage)
    return assembly.reply()


class Assembly:
    """One reply, taken piece by piece; a whole message is one piece."""

    def __init__(self, host: str, earlier: Sequence[Message]) -> None:
        self.host = host
        self.earlier = earlier
        self.finish = ""
        self.usage = TokenCount()
        self.said = False
        """Whether the last piece said anything: text, thought, a part of a call, the end, the counts."""
        self._fields: dict[str, Raw] = {}
        self._text: list[str] = []
        self._calls = Calls()
        self._reasoning: dict[str, list[str]] = {}
        self._details: list[dict[str, object]] = []

    def whole(self, message: AnyMessage) -> None:
        """Takes a whole message."""
        self._fields = _kept_fields(message)
        self._take_text(message)
        for call in message.tool_calls or ():
            self._calls.add(call)

    def add(self, answer: Answer) -> str:
        """Takes one piece of a stream and returns the text it adds."""
        self.said = False
        if given(answer.usage):
            self.usage, self.said = usage(answer.usage), True
        choice = answer.choice
        if choice is None:
            return ""
        if choice.finish_reason:
            self.finish, self.said = choice.finish_reason if self.finish != "refusal" else self.finish, True
        piece = choice.delta or choice.message
        if piece is None:
            return ""
        self._reason(piece)
        for call in piece.tool_calls or ():
            self.said |= self._calls.take(call)
        return joined(self._take_text(piece))

    def _take_text(self, message: AnyMessage) -> str:
        text = text_of(message.content) or message.refusal or ""
        if message.refusal:
            self.finish = "refusal"
        if text:
            self._text.append(text)
            self.said = True
        return text

    def _reason(self, piece: AnyMessage) -> None:
        for name, raw in (("reasoning_content", piece.reasoning_content), ("reasoning", piece.reasoning)):
            if isinstance(raw, Raw) and (text := text_of(raw)):
                self._reasoning.setdefault(name, []).append(text)
                self.said = True
        if isinstance(piece.reasoning_details, Raw) and given(piece.reasoning_details):
            for detail in msgspec.json.decode(piece.reasoning_details, type=list[dict[str, object]]):
                self._add_detail(detail)
                self.said = True

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

    @property
    def empty(self) -> bool:
        """Whether the reply has no text, no thought and no call so far."""
        return not (self._text or self._calls.all or self._reasoning or self._details)

    @property
    def breaks_off(self) -> bool:
        """Whether the last tool call has arguments that are not whole."""
        last = self._calls.all[-1] if self._calls.all else None
        return last is not None and bool(last.arguments) and not last.whole

    def reply(self) -> Reply:
        """The assistant's message, the count of tokens, how it ended."""
        ending = _ENDINGS.get(self.finish, "Complete")
        count = sum(len(message.tool_calls) for message in self.earlier) if self._calls.all else 0
        calls = self._calls.requested(count, ending == "Complete")
        finish = "tool_calls" if calls and ending == "Complete" else self.finish
        text = joined("".join(self._text))
        message = Message(role="assistant", content=text or None, tool_calls=calls, opaque=self._opaque())
        return Reply(message, self.usage, finish, ending)

    def _opaque(self) -> str:
        fields = self._fields
        for name, texts in self._reasoning.items():
            fields[name] = Raw(msgspec.json.encode(joined("".join(texts))))
        if self._details:
            fields["reasoning_details"] = Raw(msgspec.json.encode(self._details))
        calls = {call.id: call.extra for call in self._calls.all if isinstance(call.extra, Raw)}
        if not fields and not calls:
            return ""
        return joined_json(dumps(Kept(wire="chat", host=self.host, fields=fields, calls=calls)))


def _kept_fields(message: AnyMessage) -> dict[str, Raw]:
    """What must be sent back byte for byte: the reasoning, and a content that is a list of parts."""
    reasoning = (
        ("reasoning_content", message.reasoning_content),
        ("reasoning", message.reasoning),
        ("reasoning_details", message.reasoning_details),
    )
    found = {name: value.copy() for name, value in reasoning if isinstance(value, Raw) and given(value)}
    if bytes(message.content)[:1] == b"[":
        found["content"] = message.content.copy()
    return found


class Taken:
    """One tool call, as far as it has arrived."""

    def __init__(self, id_: str, name: str) -> None:
        self.id, self.name = id_, name
        self.pieces: list[str] = []
        self.extra: Raw | UnsetType = UNSET

    @property
    def arguments(self) -> str:
        """As the model wrote them; "" where it wrote none, or `null`."""
        text = lenient.arguments("".join(self.pieces))
        return "" if text.strip() in ("", "null") else text

    @property
    def whole(self) -> bool:
        """Whether the arguments so far are a JSON document; "" is none."""
        try:
            msgspec.json.decode(self.arguments, type=Raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        except RecursionError:
            return True  # as far as can be told
        return True


class Calls:
    """The calls of a reply in their order."""

    def __init__(self) -> None:
        self.all: list[Taken] = []
        self._by_index: dict[int, Taken] = {}

    def add(self, piece: AnyCall) -> bool:
        """Takes one call of a whole message, which is always a call of its own."""
        id_, name, arguments = _said(piece)
        self._extend(self._new(id_, name, None), id_, name, arguments, piece)
        return True

    def take(self, piece: AnyCall) -> bool:
        """Takes one piece of a stream; whether it says anything."""
        id_, name, arguments = _said(piece)
        index = place(piece.index)
        call = self._belongs(index, id_, name, arguments) or self._new(id_, name, index)
        self._extend(call, id_, name, arguments, piece)
        return bool(id_ or name or arguments)

    def _extend(self, call: Taken, id_: str, name: str, arguments: str, piece: AnyCall) -> None:
        call.id, call.name = call.id or id_, call.name or name
        if arguments:
            call.pieces.append(arguments)
        if isinstance(piece.extra_content, Raw) and given(piece.extra_content):
            call.extra = piece.extra_content.copy()

    def _new(self, id_: str, name: str, index: int | None) -> Taken:
        call = Taken(id_, name)
        self.all.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _belongs(self, index: int | None, id_: str, name: str, arguments: str) -> Taken | None:
        """The call that the piece continues; None if it begins a new one."""
        if index is not None:
            last = self._by_index.get(index)
        else:
            last = next((call for call in self.all if id_ and call.id == id_), None) or (
                self.all[-1] if self.all else None
            )
        if last is None or not name or not last.name:
            return last
        other = bool(id_) and id_ != last.id
        if name != last.name:
            return None
        if not last.arguments:
            return None if other else last
        if last.whole:
            return None if other or arguments else last
        return None if other and index is None else last

    def requested(self, earlier: int, complete: bool) -> list[RequestedCall]:
        """The calls as a message holds them; `earlier`: how many calls the conversation has already.

        Ids that are missing, repeated or endless are counted on from those of the conversation: call_03. No
        arguments are `{}`, but only where the reply is complete.
        """
        taken: set[str] = set()
        found = []
        for position, call in enumerate(self.all, 1):
            call.id = lenient.joined(call.id)
            if not call.id or call.id in taken or len(call.id) > LONGEST_ID:
                call.id = _free(f"call_{earlier + position:02d}", taken)
            taken.add(call.id)
            arguments = call.arguments or ("{}" if complete else "")
            function = FunctionCall(name=lenient.joined(call.name), arguments=arguments)
            found.append(RequestedCall(id=call.id, function=function))
        return found


def _free(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "x"
    return wanted


def _said(piece: AnyCall) -> tuple[str, str, str]:
    """Id, name and arguments of a piece; arguments that come as an object are its text."""
    function = piece.function
    if function is None:
        return word(piece.id), "", ""
    return word(piece.id), word(function.name), word(function.arguments)
