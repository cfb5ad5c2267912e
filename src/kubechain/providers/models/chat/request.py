"""A conversation -> the bytes of one chat-completions request.

chat.py calls it. Pure, and on the hot path: stored messages become wire structs and are encoded once, schemas
and kept reasoning go out as the bytes they are.

`maxTokensField` says which name an upper bound of tokens has. By default provider openai gets
`max_completion_tokens` (its reasoning models refuse `max_tokens`, wherever they are served), everybody else
`max_tokens` (the only one that compatible servers know).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.agents.ports.model import ToolOffer
from kubechain.providers.models.kept import Kept, loads
from kubechain.resources.llm import LLM, Parameters, Provider
from kubechain.resources.message import FunctionCall, Message, RequestedCall

_ENCODER = msgspec.json.Encoder()
_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_OBJECT = b'"object"'
_USUAL = b'{"type":"object","properties":'
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


class WireCall(msgspec.Struct, omit_defaults=True):
    id: str
    function: FunctionCall
    extra_content: Raw | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class WireMessage(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | Raw | None | UnsetType = UNSET
    name: str = ""
    tool_calls: list[RequestedCall] | list[WireCall] = []
    tool_call_id: str = ""


class WireFunction(msgspec.Struct, omit_defaults=True):
    name: str
    parameters: Raw
    description: str = ""


class WireTool(msgspec.Struct):
    function: WireFunction
    type: str = "function"


class StreamOptions(msgspec.Struct):
    include_usage: bool = True


class Thinking(msgspec.Struct):
    budget_tokens: int
    type: str = "enabled"


class Request(msgspec.Struct, omit_defaults=True):
    """The body, in wire names."""

    model: str
    messages: Sequence[WireMessage | Raw]
    tools: list[WireTool] = []
    temperature: Raw | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    top_p: Raw | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    stop: list[str] = []
    seed: int | UnsetType = UNSET
    random_seed: int | UnsetType = UNSET
    frequency_penalty: Raw | UnsetType = UNSET
    presence_penalty: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    thinking: Thinking | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    stream_options: StreamOptions | UnsetType = UNSET


def encode(llm: LLM, host: str, messages: Sequence[Message], tools: Sequence[ToolOffer]) -> bytes:
    """The body of one request to the API at `host`."""
    spec, parameters = llm.spec, llm.spec.parameters
    mistral = spec.provider == "mistral"
    request = Request(
        model=llm.model_name,
        messages=[_message(message, host) for message in (_with_mistral_ids(messages) if mistral else messages)],
        tools=[_tool(tool) for tool in tools],
        temperature=_decimal(parameters.temperature),
        top_p=_decimal(parameters.top_p),
        top_k=_given(parameters.top_k),
        stop=parameters.stop,
        frequency_penalty=_decimal(parameters.frequency_penalty),
        presence_penalty=_decimal(parameters.presence_penalty),
    )
    if parameters.max_tokens is not None:
        if _takes_completion_tokens(spec.provider, parameters, host):
            request.max_completion_tokens = parameters.max_tokens
        else:
            request.max_tokens = parameters.max_tokens
    if parameters.seed is not None:
        if mistral:
            request.random_seed = parameters.seed
        else:
            request.seed = parameters.seed
    if tools and parameters.parallel_tool_calls is not None:
        request.parallel_tool_calls = parameters.parallel_tool_calls
    _add_reasoning(request, parameters)
    if parameters.stream:
        request.stream = True
        if not mistral:  # refuses the option, and sends the usage without being asked
            request.stream_options = StreamOptions()
    return _ENCODER.encode(request)


def _takes_completion_tokens(provider: Provider, parameters: Parameters, host: str) -> bool:
    if parameters.max_tokens_field in (None, "Auto"):
        return provider == "openai" or host == "api.openai.com" or host.endswith(".openai.azure.com")
    return parameters.max_tokens_field == "MaxCompletionTokens"


def _add_reasoning(request: Request, parameters: Parameters) -> None:
    """A number of tokens has no OpenAI name; `thinking` is the one that most compatible servers read."""
    reasoning = parameters.reasoning
    if reasoning is None:
        return
    request.reasoning_effort = reasoning.effort or UNSET
    if reasoning.budget_tokens is not None:
        request.thinking = Thinking(reasoning.budget_tokens)


def _given(value: int | None) -> int | UnsetType:
    return UNSET if value is None else value


def _decimal(text: str | None) -> Raw | UnsetType:
    """A JSON number with the digits as the manifest has them (JSON forbids leading zeros)."""
    if text is None:
        return UNSET
    return Raw(re.sub(r"^(-?)0+(?=\d)", r"\1", text).encode())


def _tool(tool: ToolOffer) -> WireTool:
    written = bytes(tool.parameters)
    schema = tool.parameters if written.startswith(_USUAL) else _with_properties(written)
    return WireTool(WireFunction(tool.name, schema, tool.description))


@lru_cache(maxsize=512)
def _with_properties(parameters: bytes) -> Raw:
    """Parameters with `properties`, which OpenAI asks for even where there are none."""
    if not parameters:
        return _NO_PARAMETERS
    try:
        schema = msgspec.json.decode(parameters, type=dict[str, Raw])
    except msgspec.DecodeError:
        return Raw(parameters)
    if "properties" in schema or bytes(schema.get("type", _OBJECT)) != _OBJECT:
        return Raw(parameters)
    return Raw(_ENCODER.encode({"type": Raw(_OBJECT), **schema, "properties": Raw(b"{}")}))


def _message(message: Message, host: str) -> WireMessage | Raw:
    content: str | None = message.content
    if content is None and not message.tool_calls:
        content = ""  # a message with neither text nor calls is refused when its content is null
    wire = WireMessage(message.role, content, message.name, message.tool_calls, message.tool_call_id)
    if not message.opaque:
        return wire
    kept = loads(message.opaque)
    if kept is None or kept.wire != "chat" or kept.host != host:
        return wire
    return _with_kept(wire, kept)


def _with_kept(wire: WireMessage, kept: Kept) -> Raw:
    fields = dict(kept.fields)
    if "content" in fields:
        wire.content = fields.pop("content")
    if kept.calls:
        wire.tool_calls = [
            WireCall(call.id, call.function, kept.calls.get(call.id, UNSET), "function")
            for call in wire.tool_calls
        ]
    encoded = _ENCODER.encode(wire)
    return Raw(encoded[:-1] + b"," + _ENCODER.encode(fields)[1:] if fields else encoded)


def _with_mistral_ids(messages: Sequence[Message]) -> list[Message]:
    """Mistral takes ids of nine letters and digits only; ids of other providers become such, always the same."""
    changed: list[Message] = []
    for message in messages:
        if message.tool_calls:
            calls = [RequestedCall(id=_mistral_id(call.id), function=call.function) for call in message.tool_calls]
            message = msgspec.structs.replace(message, tool_calls=calls)
        if message.tool_call_id:
            message = msgspec.structs.replace(message, tool_call_id=_mistral_id(message.tool_call_id))
        changed.append(message)
    return changed


def _mistral_id(id_: str) -> str:
    if _MISTRAL_ID.fullmatch(id_):
        return id_
    return hashlib.sha256(id_.encode()).hexdigest()[:9]
