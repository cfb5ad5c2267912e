"""A chat-completions answer, whole or in pieces -> a Reply.

completions.py calls it. Pure, and lenient where servers differ: a tool call whose finish reason is `stop`, counts
that are absent, half an emoji at the end of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.providers.models.chat.answer import Answer, AnyMessage, given, text_of, usage
from kubechain.providers.models.chat.calls import Calls
from kubechain.providers.models.kept import Kept, dumps
from kubechain.providers.models.lenient import joined, joined_json
from kubechain.resources.message import Message

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
        """Whether nothing has come of the reply: no text, no thought, no call."""
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
    """What goes back byte for byte: the reasoning, and a content that is a list of parts."""
    reasoning = (
        ("reasoning_content", message.reasoning_content),
        ("reasoning", message.reasoning),
        ("reasoning_details", message.reasoning_details),
    )
    found = {name: value.copy() for name, value in reasoning if isinstance(value, Raw) and given(value)}
    if bytes(message.content)[:1] == b"[":
        found["content"] = message.content.copy()
    return found
