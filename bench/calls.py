"""What one model call costs this process: CPU per call on either wire, by length of the conversation.

turn.py calls it. A real adapter, a real HTTP connection, the model server in a process of its own; ten tools.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bench.job import ASKED, ECHO, Shape
from kubechain.agents.ports.model import Endpoint, ToolOffer
from kubechain.providers.models.router import Models
from kubechain.resources.llm import LLM
from kubechain.resources.message import FunctionCall, Message, RequestedCall

TOOLS = 10
LENGTHS = (41, 201)
_RESULT = "result " * 30
_ENDLESS = Shape(100_000)


@dataclass(frozen=True)
class Cost:
    """Of one call, in milliseconds: CPU of this process, and time from call to reply."""

    wire: str
    streamed: bool
    messages: int
    cpu_ms: float
    wall_ms: float


async def costs(url: str, calls: int) -> list[Cost]:
    """Every wire and length, streamed and whole, each measured over so many calls."""
    models = Models()
    found = []
    try:
        for wire, provider in (("chat completions", "openai-compatible"), ("anthropic", "anthropic")):
            for length in LENGTHS:
                for streamed in (False, True):
                    found.append(await _cost(models, url, wire, provider, length, streamed, calls))
    finally:
        await models.close()
    return found


async def _cost(
    models: Models, url: str, wire: str, provider: str, length: int, streamed: bool, calls: int
) -> Cost:
    endpoint, messages, tools = _endpoint(url, provider, streamed), conversation(length), _tools()
    for _ in range(5):
        await models.ask(endpoint, messages, tools)
    used, begun = time.process_time(), time.perf_counter()
    for _ in range(calls):
        await models.ask(endpoint, messages, tools)
    spent, seconds = time.process_time() - used, time.perf_counter() - begun
    return Cost(wire, streamed, length, spent * 1000 / calls, seconds * 1000 / calls)


def _endpoint(url: str, provider: str, streamed: bool) -> Endpoint:
    parameters = {"baseURL": f"{url}/v1", "model": _ENDLESS.model, "stream": streamed, "maxTokens": 1000}
    document = {"metadata": {"name": "m"}, "spec": {"provider": provider, "parameters": parameters}}
    llm = msgspec.convert(document, LLM)
    return Endpoint(llm, "key", (), f"{url}/v1")


def conversation(length: int) -> Sequence[Message]:
    """A system prompt, a question, then calls and results in turn."""
    messages = [
        Message(role="system", content="You are a helpful assistant."),
        Message(role="user", content=ASKED + "x"),
    ]
    for n in range((length - 1) // 2):
        call = RequestedCall(
            id=f"call_{n}", function=FunctionCall(name="echo", arguments='{"run":"x","n":1,"size":16}')
        )
        messages.append(Message(role="assistant", tool_calls=[call]))
        messages.append(Message(role="tool", tool_call_id=f"call_{n}", content=_RESULT))
    return messages[:length]


def _tools() -> Sequence[ToolOffer]:
    schema = Raw(msgspec.json.encode(ECHO))
    return [ToolOffer(f"echo{n}", "Returns `size` bytes.", schema) for n in range(TOOLS)]
