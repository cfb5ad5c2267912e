"""Our messages -> the messages of pydantic-ai, which writes requests on Anthropic's wire for us.

library.py imports it when an Anthropic model is first called, never earlier: it imports the library. Pure.
Thinking goes back with the signature over its very words, so it is kept block by block in `Message.opaque`,
with how much text stood between (texts are kept once, in `content`). What Anthropic's API refuses in a history is
made fit here, never in the transcript: empty texts, ids with odd characters, arguments that are no JSON object.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from kubechain.agents.ports.model import ToolOffer
from kubechain.providers.models.anthropic.blocks import Block
from kubechain.providers.models.kept import loads
from kubechain.resources.json import JsonObject
from kubechain.resources.message import Message, RequestedCall

SYSTEM = "anthropic"
EMPTY = "(empty)"
"""Stands for a text without a word, which the API refuses."""
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def requests(messages: Sequence[Message]) -> list[ModelMessage]:
    """Assistant messages become responses; whatever stands between two of them becomes one request."""
    names = {call.id: call.function.name for message in messages for call in message.tool_calls}
    converted: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    for message in messages:
        if message.role != "assistant":
            parts.append(_said(message, names))
            continue
        if parts:
            converted.append(ModelRequest(parts=parts))
            parts = []
        if answered := _answered(message):
            converted.append(ModelResponse(parts=answered, provider_name=SYSTEM))
    return [*converted, ModelRequest(parts=parts)] if parts else converted


def _said(message: Message, names: dict[str, str]) -> ModelRequestPart:
    content = message.content or ""
    if not content.strip():
        content = EMPTY
    match message.role:
        case "system":
            return SystemPromptPart(content)
        case "tool":
            name = message.name or names.get(message.tool_call_id, "tool")
            return ToolReturnPart(tool_name=name, content=content, tool_call_id=_id(message.tool_call_id))
        case _:
            return UserPromptPart(content)


def _answered(message: Message) -> list[ModelResponsePart]:
    kept = loads(message.opaque)
    blocks: list[Block] = []
    if kept is not None and kept.wire == SYSTEM and isinstance(kept.blocks, Raw):
        blocks = msgspec.json.decode(kept.blocks, type=list[Block])
    content, calls = message.content or "", {call.id: call for call in message.tool_calls}
    lengths = sum(block.text for block in blocks if isinstance(block.text, int))
    if lengths != len(content) or {block.call for block in blocks if isinstance(block.call, str)} != set(calls):
        thoughts = [block for block in blocks if isinstance(block.thinking, str)]
        blocks = [*thoughts, Block(text=len(content)), *(Block(call=id_) for id_ in calls)]
    return list(_placed(blocks, content, calls))


def _placed(blocks: Sequence[Block], content: str, calls: dict[str, RequestedCall]) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = []
    for block in blocks:
        if isinstance(block.text, int):
            text, content = content[: block.text], content[block.text :]
            if text.strip():
                parts.append(TextPart(text))
        elif isinstance(block.call, str):
            function = calls[block.call].function
            parts.append(ToolCallPart(function.name, _input(function.arguments), _id(block.call)))
        elif isinstance(block.thinking, str):
            signature, id_ = block.signature or None, block.id or None
            parts.append(ThinkingPart(block.thinking, id=id_, signature=signature, provider_name=SYSTEM))
    return parts


def _id(given: str) -> str:
    """Ids of other wires may hold characters that this one refuses; each always becomes the same other id."""
    return given if _ID.fullmatch(given) else f"call_{hashlib.sha256(given.encode()).hexdigest()[:16]}"


def _input(arguments: str) -> str:
    """A JSON object; what the model wrote in place of one stands in it as text."""
    try:
        _OBJECT.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode({"arguments": arguments} if arguments.strip() else {}).decode()
    return arguments


def tool_definitions(tools: Sequence[ToolOffer]) -> list[ToolDefinition]:
    """The tools as the library takes them; a schema that says nothing becomes one without parameters."""
    definitions = []
    for tool in tools:
        given: JsonObject = msgspec.json.decode(tool.parameters) if bytes(tool.parameters) else {}
        schema: JsonObject = {"type": "object", "properties": {}, **given}
        definitions.append(
            ToolDefinition(name=tool.name, parameters_json_schema=schema, description=tool.description)
        )
    return definitions
