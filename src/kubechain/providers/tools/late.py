"""`LateRunner`: a kind of tool whose code is loaded with its first Tool, off the event loop.

`table` has one for each kind that needs an HTTP client: a program without such tools neither loads nor keeps one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import Described, Environment, Provider, ToolRun, ToolRunner
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ExternalWork


class LateRunner(ToolRunner):
    """`kind` is also the member of the spec. `load` imports and makes the real runner, in a thread."""

    def __init__(self, kind: str, load: Callable[[], ToolRunner]) -> None:
        self.kind = kind
        self._load = load
        self._loaded: ToolRunner | None = None
        self._lock = asyncio.Lock()
        self._told: Callable[[str], None] | None = None

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and getattr(provider.spec, self.kind) is not None

    async def describe(self, provider: Provider, env: Environment) -> Described:
        return await (self._loaded or await self._runner()).describe(provider, env)

    async def start(self, run: ToolRun) -> Done | Parked:
        return await (self._loaded or await self._runner()).start(run)

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        return await (self._loaded or await self._runner()).look(run, handle)

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:
        await (self._loaded or await self._runner()).cancel(run, handle)

    async def forget(self, provider: Provider) -> None:
        if self._loaded is not None:
            await self._loaded.forget(provider)

    def on_change(self, told: Callable[[str], None]) -> None:
        self._told = told
        if self._loaded is not None:
            self._loaded.on_change(told)

    async def close(self) -> None:
        if self._loaded is not None:
            await self._loaded.close()

    async def _runner(self) -> ToolRunner:
        async with self._lock:
            if self._loaded is None:
                loaded = await asyncio.to_thread(self._load)
                if self._told is not None:
                    loaded.on_change(self._told)
                self._loaded = loaded
            return self._loaded
