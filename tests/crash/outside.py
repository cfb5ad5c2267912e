"""Who is outside of the program in the crash suite: a model and functions, with journals of their own.

Two of each. `OverHTTP` is the real thing: a model server, the real client, functions in tool processes.
`InProcess` follows the same script and calls the same functions without a socket or a process between, for the
thousands of worlds of the pair matrix; a test holds its answers against those of the real one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, TokenCount, ToolOffer
from kubechain.agents.ports.tool import Environment
from kubechain.providers.models.router import Models
from kubechain.providers.models.scripted.dialogue import (
    AskedCall,
    AskedFunction,
    ChatMessage,
    ChatRequest,
    Dialogue,
    OfferedFunction,
    OfferedTool,
)
from kubechain.providers.models.scripted.script import Script, ScriptedCall, decide
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.providers.tools.function.calls import FunctionCall, FunctionProcesses, FunctionSignature
from kubechain.providers.tools.function.function_server import load
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds
from kubechain.providers.tools.result import as_text
from kubechain.resources import message as ours
from kubechain.resources.json import JsonObject


class Outside(Protocol):
    """Stays the same over the lives of the program."""

    base_url: str
    functions: FunctionProcesses
    exact: bool
    """Whether a call that a kill cut off has reached the other side for certain."""

    def models(self) -> ModelProvider:
        """A client for one life."""
        ...

    def asked(self) -> Counter[int]:
        """How often each turn was asked for since the last call of this."""
        ...


class Journal:
    """The file in which the tools note what they did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._read = 0
        self._lines: Counter[str] = Counter()

    def times(self, uid: str) -> int:
        """How often the tool ran under that idempotency key."""
        with self.path.open() as file:
            file.seek(self._read)
            self._lines.update(line.partition(" ")[0] for line in file.read().splitlines())
            self._read = file.tell()
        return self._lines[uid]


Pause = Callable[[], Awaitable[None]]
"""What passes between an effect and its result, while others get their turn."""


async def one_turn() -> None:
    """The shortest: one turn of the event loop."""
    await asyncio.sleep(0)


class InProcess:
    """Nothing between: model and functions are called."""

    base_url = "http://127.0.0.1:9/v1"
    exact = True

    def __init__(self, script: Script, pause: Pause = one_turn) -> None:
        self.script = script
        self.functions: FunctionProcesses = LocalFunctions(pause)
        self._pause = pause
        self._asked: Counter[int] = Counter()

    def models(self) -> ModelProvider:
        return ScriptedReplies(self.script, self._asked, self._pause)

    def asked(self) -> Counter[int]:
        taken = self._asked.copy()
        self._asked.clear()
        return taken


class OverHTTP:
    """The real client, a real server, real tool processes."""

    exact = False

    def __init__(self, model: ScriptedModel, functions: Functions) -> None:
        self.model = model
        self.base_url = model.base_url
        self.functions: FunctionProcesses = functions

    def models(self) -> ModelProvider:
        return Models()

    def asked(self) -> Counter[int]:
        taken = Counter(_turn(request) for request in self.model.requests)
        self.model.requests.clear()
        return taken


@asynccontextmanager
async def over_http(script: Script, folder: Path) -> AsyncIterator[OverHTTP]:
    """A model server with that script, and the functions of that folder."""
    functions = Functions((folder,))
    try:
        async with ScriptedModel(script) as model:
            yield OverHTTP(model, functions)
    finally:
        await functions.close()


def _turn(request: JsonObject) -> int:
    messages = request["messages"]
    assert isinstance(messages, list)
    return sum(isinstance(m, dict) and m["role"] == "assistant" for m in messages)


class ScriptedReplies:
    """A ModelProvider that answers from a script, and counts what it is asked."""

    def __init__(self, script: Script, asked: Counter[int], pause: Pause) -> None:
        self._script, self._asked, self._pause = script, asked, pause

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[ours.Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        request = ChatRequest(
            model=endpoint.llm.metadata.name,
            messages=[_asked_message(m) for m in messages],
            tools=[OfferedTool(OfferedFunction(t.name, t.description, t.parameters)) for t in tools],
        )
        self._asked[sum(m.role == "assistant" for m in messages)] += 1
        await self._pause()
        reply = decide(self._script, request)
        assert reply is not None and reply.usage is not None, "the script has no such turn, or no usage"
        first = Dialogue(request).calls_before + 1
        calls = [_requested(call, number) for number, call in enumerate(reply.tool_calls, first)]
        return Reply(
            ours.Message(role="assistant", content=reply.content, tool_calls=calls),
            TokenCount(reply.usage.input, reply.usage.output, reply.usage.cached),
            "tool_calls" if calls else "stop",
        )

    async def check(self, endpoint: Endpoint) -> str:
        return "Nothing to check"

    async def close(self) -> None:
        """Nothing is open."""


def _asked_message(message: ours.Message) -> ChatMessage:
    calls = [AskedCall(c.id, AskedFunction(c.function.name, c.function.arguments)) for c in message.tool_calls]
    return ChatMessage(message.role, message.content, calls or None, message.tool_call_id or None)


def _requested(call: ScriptedCall, number: int) -> ours.RequestedCall:
    assert isinstance(call.arguments, str), "scripts of crash stories write their arguments as text"
    function = ours.FunctionCall(name=call.name, arguments=call.arguments)
    return ours.RequestedCall(id=f"call_{number:02d}", function=function)


load_function = cache(load)


class LocalFunctions:
    """A FunctionProcesses that calls functions in this process: they take no time worth a thread."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause

    async def inspect(self, entrypoint: str, env: Environment, bounds: Bounds = NO_BOUNDS) -> FunctionSignature:
        _, found = load_function(entrypoint)
        return FunctionSignature(found.description, found.parameters)

    async def call(self, call: FunctionCall) -> str:
        function, found = load_function(call.entrypoint)
        positional, named = found.bind(call.arguments.decode(), call.idempotency_key)
        result = as_text(function(*positional, **named))
        await self._pause()
        return result

    async def close(self) -> None:
        """Nothing is open."""
