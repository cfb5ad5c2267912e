"""The tool kind `function`: Python functions, run in tool processes and never in the program itself.

`FunctionRunner` is what the table of kinds knows: a call is one message to a tool process and its answer.
`Functions` has the processes, one per distinct environment; each serves any number of calls at the same time. It
never retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, assert_never

from kubechain.agents.call.outcome import Done
from kubechain.agents.call.redaction import redacted
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
    secret_names,
)
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.environment import secrets
from kubechain.providers.tools.function.calls import FunctionCall, FunctionProcesses, FunctionSignature
from kubechain.providers.tools.function.frames import Described as Signature
from kubechain.providers.tools.function.frames import (
    Failed,
    Inspect,
    Invoke,
    Printed,
    Reply,
    Returned,
    Unusable,
)
from kubechain.providers.tools.function.function_process import FunctionProcess, next_id
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds, bounds_of
from kubechain.providers.tools.starting import Starter, here
from kubechain.resources.tool import Tool
from kubechain.resources.tool_function import FunctionTool

INSPECT_SECONDS = 30.0
Key: TypeAlias = tuple[tuple[tuple[str, str], ...], Bounds]


class FunctionRunner(ToolRunner):
    """Python functions, by way of the processes that run them."""

    kind = "function"

    def __init__(self, processes: FunctionProcesses) -> None:
        self._processes = processes

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and provider.spec.function is not None

    async def describe(self, provider: Provider, env: Environment) -> Described:
        function = _function(provider)
        signature = await self._processes.inspect(function.entrypoint, env, bounds_of(function.resources))
        tool = Description(provider.metadata.name, signature.description, signature.parameters)
        return Described([tool], "FunctionFound", f"Function {function.entrypoint} is ready", held=signature.held)

    async def start(self, run: ToolRun) -> Done:
        function = _function(run.provider)
        call = FunctionCall(
            function.entrypoint,
            run.arguments,
            run.timeout,
            run.env,
            run.idempotency_key,
            hidden=secret_names(run.provider),
            about={"tool": run.call.spec.tool, "task_run": run.call.spec.task_run},
            bounds=bounds_of(function.resources) if function.resources else NO_BOUNDS,
        )
        return Done(await self._processes.call(call))

    async def close(self) -> None:
        await self._processes.close()


class Functions(FunctionProcesses):
    """Runs functions that are importable where kubechain is installed, or from the folders of `search_path`."""

    def __init__(self, search_path: Sequence[Path] = (), start: Starter = here) -> None:
        self._folders = tuple(folder.absolute() for folder in search_path)
        self._start = start
        self._current: dict[Key, FunctionProcess] = {}
        self._living: set[FunctionProcess] = set()
        self._closed = False

    async def inspect(self, entrypoint: str, env: Environment, bounds: Bounds = NO_BOUNDS) -> FunctionSignature:
        """A function's description and JSON Schema, from disk again if its file has changed.

        Raises Terminal (ImportFailed, NoSuchFunction, UnfitFunction) or Transient.
        """
        reply = await self._described(entrypoint, env, bounds)
        if reply.stale:
            self._process(env, bounds).retire()
            reply = await self._described(entrypoint, env, bounds)
        if isinstance(reply, Unusable):
            raise _out_of_turn(reply, env)
        described = reply
        return FunctionSignature(described.description, described.parameters, self._process(env, bounds).held)

    async def call(self, call: FunctionCall) -> str:
        """The function's result as text, cut to result.MAX_RESULT_BYTES.

        Raises ToolError (it raised, or the arguments do not fit), Transient, or Terminal as `inspect` does.
        """
        document = call.arguments.decode("utf-8", "replace")
        request = Invoke(next_id(), call.entrypoint, document, call.idempotency_key, call.hidden)
        reply = await self._ask(request, call.env, call.bounds, call.timeout, call.about)
        match reply:
            case Returned():
                return reply.text
            case Failed():
                raise ToolError(redacted(reply.message, secrets(call.env)))
            case _:
                raise _out_of_turn(reply, call.env)

    async def close(self) -> None:
        """Kills every process and everything that they started."""
        self._closed = True
        processes = list(self._living)
        for process in processes:
            process.stop()
        await asyncio.gather(*(process.task for process in processes), return_exceptions=True)

    async def _described(self, entrypoint: str, env: Environment, bounds: Bounds) -> Signature | Unusable:
        reply = await self._ask(Inspect(next_id(), entrypoint), env, bounds, INSPECT_SECONDS, {})
        if isinstance(reply, Signature | Unusable):
            return reply
        raise _out_of_turn(reply, env)

    async def _ask(
        self,
        request: Inspect | Invoke,
        env: Environment,
        bounds: Bounds,
        timeout: float,
        about: Mapping[str, str],
    ) -> Reply:
        try:
            return await self._process(env, bounds).ask(request, timeout, about)
        except TimeoutError as error:
            raise Transient(
                f"function {request.entrypoint} did not answer within {timeout:g} s; raise the tool's timeout or "
                "make the function faster",
                reason="Timeout",
            ) from error
        except Transient as error:
            raise Transient(f"function {request.entrypoint}: {error}", reason=error.reason) from error

    def _process(self, env: Mapping[str, str], bounds: Bounds) -> FunctionProcess:
        """The process for new calls in this environment and within these bounds.

        Starts another one if the last one cannot be used any more.
        """
        if self._closed:
            raise Transient("the program is shutting down", reason="ShuttingDown")
        key = (tuple(sorted(env.items())), bounds)
        process = self._current.get(key)
        if process is not None and process.usable:
            return process
        if process is not None and not process.task.done():
            process.retire()
        fresh = FunctionProcess(env, bounds, self._folders, self._start)
        self._current[key] = fresh
        self._living.add(fresh)
        fresh.task.add_done_callback(lambda _: self._bury(key, fresh))
        return fresh

    def _bury(self, key: Key, process: FunctionProcess) -> None:
        self._living.discard(process)
        if self._current.get(key) is process:
            del self._current[key]


def _out_of_turn(reply: Reply, env: Environment) -> Terminal:
    """The error for any reply but the one that was asked for."""
    match reply:
        case Unusable():
            return Terminal(redacted(reply.message, secrets(env)), reason=reply.reason)
        case Signature() | Returned() | Failed() | Printed():
            return Terminal("the tool process answered another request", reason="WorkerBroken")
        case _:
            assert_never(reply)


def _function(provider: Provider | None) -> FunctionTool:
    if isinstance(provider, Tool) and provider.spec.function is not None:
        return provider.spec.function
    name = provider.metadata.name if provider is not None else ""
    raise Terminal(f'Tool "{name}" has no function to run; set spec.function', reason="NoFunction")
