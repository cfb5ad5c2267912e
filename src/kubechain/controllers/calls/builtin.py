"""Runs the tools that KubeChain itself offers to models. Called like any other kind of tool."""

from __future__ import annotations

from typing import assert_never

from kubechain.agents.builtin.read_result import Reading
from kubechain.agents.builtin.table import step_of
from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import Described, Environment, Nature, Provider, ToolError, ToolRun, ToolRunner
from kubechain.controllers.calls.results import Results
from kubechain.controllers.saving import through_trouble
from kubechain.errors import Terminal

TIMEOUT = 60.0


class BuiltinRunner(ToolRunner):
    """Carries out calls of built-in tools, as their table defines."""

    kind = "builtin"

    def __init__(self, results: Results) -> None:
        self._results = results

    def serves(self, provider: Provider | None) -> bool:
        return provider is None

    def nature(self, provider: Provider | None, tool: str) -> Nature:
        return Nature("ReadOnly", "Retry", TIMEOUT)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        raise Terminal("KubeChain's own tools have no provider", reason="UnknownKind")

    async def start(self, run: ToolRun) -> Done:
        origin = run.call.spec.origin
        match step_of(origin.name if origin else run.tool, run.call.spec.arguments):
            case str() as problem:
                raise ToolError(problem)
            case Reading() as what:
                return Done(await through_trouble(lambda: self._results.read(run.call, what)))
            case step:
                assert_never(step)
