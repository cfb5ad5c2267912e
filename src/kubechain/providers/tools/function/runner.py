"""`FunctionRunner`: the tool kind `function`. A call is one message to a tool process and its answer."""

from __future__ import annotations

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolRun,
    ToolRunner,
    secret_names,
)
from kubechain.errors import Terminal
from kubechain.providers.tools.function.calls import FunctionCall, FunctionProcesses
from kubechain.resources.tool import FunctionTool, Tool


class FunctionRunner(ToolRunner):
    """Python functions, by way of the processes that run them."""

    kind = "function"

    def __init__(self, processes: FunctionProcesses) -> None:
        self._processes = processes

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and provider.spec.function is not None

    async def describe(self, provider: Provider, env: Environment) -> Described:
        entrypoint = _function(provider).entrypoint
        signature = await self._processes.inspect(entrypoint, env)
        tool = Description(provider.metadata.name, signature.description, signature.parameters)
        return Described([tool], "FunctionFound", f"Function {entrypoint} is ready")

    async def start(self, run: ToolRun) -> Done:
        entrypoint = _function(run.provider).entrypoint
        call = FunctionCall(
            entrypoint,
            run.arguments,
            run.timeout,
            run.env,
            run.idempotency_key,
            hidden=secret_names(run.provider),
            about={"tool": run.call.spec.tool, "task_run": run.call.spec.task_run},
        )
        return Done(await self._processes.call(call))

    async def close(self) -> None:
        await self._processes.close()


def _function(provider: Provider | None) -> FunctionTool:
    if isinstance(provider, Tool) and provider.spec.function is not None:
        return provider.spec.function
    name = provider.metadata.name if provider is not None else ""
    raise Terminal(f'Tool "{name}" has no function to run; set spec.function', reason="NoFunction")
