"""Our messages <-> the messages of pydantic-ai, which speaks Anthropic's wire for us.

library.py imports it when an Anthropic model is first called, never earlier: it imports the library. Pure.
Thinking comes back with a signature over its very words, so it is kept block by block in `Message.opaque`,
with how much text stood between (texts are kept once, in `content`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType
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

from kubechain.agents.ports.model import Ending, Reply, TokenCount, ToolOffer
from kubechain.providers.models.kept import Kept, dumps, loads
from kubechain.resources.json import JsonObject
from kubechain.resources.message import FunctionCall, Message, RequestedCall

SYSTEM = "anthropic"
_FINISH = {"tool_call": "tool_calls"}
_ENDINGS: Mapping[str, Ending] = {"length": "TokenLimit", "content_filter": "Refused", "error": "Unfinished"}
"""What the library's finish reasons other than an end mean; Anthropic's `refusal` is its `content_filter`."""


class Block(msgspec.Struct, omit_defaults=True):
    """One part of a reply in its place: a thought, so many characters of `text`, or the tool call `call`."""

    thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    text: int | UnsetType = UNSET
    call: str | UnsetType = UNSET


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
    match message.role:
        case "system":
            return SystemPromptPart(content)
        case "tool":
            name = message.name or names.get(message.tool_call_id, "tool")
            return ToolReturnPart(tool_name=name, content=content, tool_call_id=message.tool_call_id)
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
            if text:
                parts.append(TextPart(text))
        elif isinstance(block.call, str):
            function = calls[block.call].function
            parts.append(ToolCallPart(function.name, function.arguments, block.call))
        elif isinstance(block.thinking, str):
            signature, id_ = block.signature or None, block.id or None
            parts.append(ThinkingPart(block.thinking, id=id_, signature=signature, provider_name=SYSTEM))
    return parts


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


def reply(response: ModelResponse) -> Reply:
    """The response as our message, its tokens, why it ended."""
    finish = response.finish_reason or "stop"
    ending = _ENDINGS.get(finish, "Complete")
    blocks: list[Block] = []
    texts: list[str] = []
    calls: list[RequestedCall] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            texts.append(part.content)
            blocks.append(Block(text=len(part.content)))
        elif isinstance(part, ThinkingPart):
            blocks.append(Block(part.content, part.signature or UNSET, part.id or UNSET))
        elif isinstance(part, ToolCallPart):
            calls.append(_requested(part, ending))
            blocks.append(Block(call=part.tool_call_id))
    thinks = any(isinstance(block.thinking, str) for block in blocks)
    opaque = dumps(Kept(wire="anthropic", blocks=Raw(msgspec.json.encode(blocks)))) if thinks else ""
    message = Message(role="assistant", content="".join(texts) or None, tool_calls=calls, opaque=opaque)
    usage = response.usage
    if calls and finish == "stop":
        finish = "tool_call"
    count = TokenCount(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens)
    return Reply(message, count, _FINISH.get(finish, finish), ending)


def _requested(part: ToolCallPart, ending: Ending) -> RequestedCall:
    """No arguments are `{}` where the reply is complete; else they are what had come by then."""
    given = part.args
    arguments = given if isinstance(given, str) else msgspec.json.encode(given).decode() if given else ""
    if ending == "Complete" and not arguments.strip():
        arguments = "{}"
    function = FunctionCall(name=part.tool_name, arguments=arguments.strip())
    return RequestedCall(id=part.tool_call_id, function=function)
