"""A chat-completions request as the scripted model reads it, and the state of its conversation.

The modules of this folder call it. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw


class AskedFunction(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class AskedCall(msgspec.Struct):
    id: str = ""
    function: AskedFunction = msgspec.field(default_factory=AskedFunction)


class TextPart(msgspec.Struct):
    text: str = ""


class ChatMessage(msgspec.Struct):
    role: str
    content: str | list[TextPart] | None = None
    tool_calls: list[AskedCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class OfferedFunction(msgspec.Struct):
    name: str
    description: str = ""
    parameters: Raw = Raw(b"{}")


class OfferedTool(msgspec.Struct):
    function: OfferedFunction


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The part of a request that answers depend on."""

    model: str
    messages: list[ChatMessage]
    tools: list[OfferedTool] = []
    stream: bool = False
    stream_options: StreamOptions | None = None


class Dialogue:
    """The last user message and what came after it."""

    def __init__(self, request: ChatRequest) -> None:
        messages = request.messages
        last = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
        since = messages[last + 1 :]
        self.user = messages[last].text if last >= 0 else ""
        self.turn = sum(message.role == "assistant" for message in since)
        self.results = [message.text for message in since if message.role == "tool"]
        self.called = [call.function.name for message in since for call in message.tool_calls or ()]
        self.calls_before = sum(len(message.tool_calls or ()) for message in messages)
        self.length = sum(len(message.text) for message in messages)
