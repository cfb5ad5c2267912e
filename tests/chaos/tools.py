"""The tool ports in a world: functions and one MCP server that do as told, die, hang, lie, and keep a journal.

What happened is known here and nowhere else: every start of a tool is written down before anything can go wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Raw

from kubechain.agents.ports.tool import Environment, ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.function.calls import FunctionCall, FunctionSignature
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds
from kubechain.providers.tools.mcp.server import (
    CallAnswer,
    DiscoveredTool,
    Discovery,
    Target,
    ToolAnswer,
    ToolRequest,
)
from kubechain.providers.tools.result import limited
from kubechain.resources.toolcall import ExternalWork
from tests.chaos.fate import Life
from tests.chaos.scenario import Scenario, ToolPlan
from tests.chaos.weather import Weather

BIG = "0123456789" * 1_000_000


@dataclass
class Ran:
    """One start of a tool for the ToolCall with that uid; `result` is what it handed back, where it did."""

    number: int
    uid: str
    tool: str
    life: int
    at: float
    result: str | None = None
    why: str = ""


@dataclass
class ToolJournal:
    ran: list[Ran] = field(default_factory=list)

    def of(self, uid: str) -> list[Ran]:
        return [r for r in self.ran if r.uid == uid]


@dataclass
class _Bench:
    """Where the tools of a world run, whatever the port they are reached by."""

    world: Scenario
    weather: Weather
    life: Life
    journal: ToolJournal

    async def start(self, tool: ToolPlan, uid: str, timeout: float) -> str:
        await self.life.cross(f"start {tool.name}")
        now = asyncio.get_running_loop().time()
        ran = Ran(len(self.journal.ran) + 1, uid, tool.name, self.life.number, now)
        self.journal.ran.append(ran)
        await asyncio.sleep(self.weather.dice("work").choice((0.0, 0.0, 0.1, 2.0)))
        text = await self._work(ran, timeout)
        await self.life.cross(f"end {tool.name}")
        ran.result = limited(text)
        return ran.result

    async def _work(self, ran: Ran, timeout: float) -> str:
        plain = f"result {ran.number}"
        if not self.weather.strikes("tool"):
            return plain
        what = self.weather.dice("tools").choice(("death", "hang", "error", "garbage", "nothing", "big", "long"))
        if what == "big" and self.weather.dice("tools").random() < 0.5:
            what = "death"
        self.weather.injected(f"tool: {what}")
        ran.why = what
        match what:
            case "death":
                raise Transient(f"{ran.tool}: the tool process died (killed by signal 9)", reason="WorkerDied")
            case "hang":
                await asyncio.sleep(timeout)
                raise Transient(f"{ran.tool} did not answer within {timeout:g} s", reason="Timeout")
            case "error":
                raise ToolError(f"ValueError: error {ran.number}")
            case "garbage":
                return f"{plain} \x00\x1b[31m\udcff \u2028 {{not json"
            case "nothing":
                return ""
            case "big":
                return plain + BIG
            case _:
                return plain + "y" * 30_000

    async def look(self, what: str) -> None:
        """Somebody asks what tools there are."""
        await self.life.cross(what)
        await asyncio.sleep(0.01)
        if self.weather.strikes("tool"):
            self.weather.injected(f"tool: {what} failed")
            raise Transient(f"{what}: the process died", reason="WorkerDied")


class FaultyFunctions:
    """Stands for the processes that run functions."""

    def __init__(self, world: Scenario, weather: Weather, life: Life, journal: ToolJournal) -> None:
        self._bench = _Bench(world, weather, life, journal)

    async def inspect(self, entrypoint: str, env: Environment, bounds: Bounds = NO_BOUNDS) -> FunctionSignature:
        await self._bench.look("inspect")
        return FunctionSignature("does something", Raw(b'{"type":"object"}'))

    async def call(self, call: FunctionCall) -> str:
        name = call.entrypoint.partition(":")[2].replace("_", "-")
        tool = next(t for t in self._bench.world.tools if t.name == name)
        return await self._bench.start(tool, call.idempotency_key, call.timeout)

    async def close(self) -> None:
        return


class FaultySessions:
    """Stands for the sessions, with one server."""

    def __init__(self, world: Scenario, weather: Weather, life: Life, journal: ToolJournal) -> None:
        self._bench = _Bench(world, weather, life, journal)
        self.on_change: Callable[[str], None] = lambda owner: None

    async def discover(self, owner: str, target: Target, timeout: float) -> Discovery:
        await self._bench.look("discover")
        tools = [
            DiscoveredTool(t.name, "on a server", Raw(b'{"type":"object"}'), t.effect)
            for t in self._bench.world.tools
            if t.type == "mcp"
        ]
        return Discovery("a server", "1", "2025-06-18", tools)

    async def call(
        self,
        owner: str,
        target: Target,
        request: ToolRequest,
        timeout: float,
    ) -> CallAnswer:
        plan = next(t for t in self._bench.world.tools if t.name == request.tool)
        return ToolAnswer(await self._bench.start(plan, request.key, timeout))

    async def look(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> CallAnswer:
        raise NotImplementedError

    async def cancel(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> None:
        raise NotImplementedError

    async def forget(self, owner: str) -> None:
        return

    async def close(self) -> None:
        return
