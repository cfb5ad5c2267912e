"""Finds what a call needs: the tool behind it, who runs it, its run. Reads informers, starts nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kubechain.agents.call.scene import ToolState
from kubechain.agents.ports.tool import Environment, Provider, ToolRunner
from kubechain.controllers.caches import Caches
from kubechain.controllers.secrets import Missing, named_values
from kubechain.resources.kind import controller_of
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import Key


class Tool(Struct, frozen=True):
    """A tool: its provider (None: KubeChain itself), its runner, and its state."""

    provider: Provider | None
    runner: ToolRunner
    state: ToolState


class Tools(Struct, frozen=True):
    """`runners`: one per kind; of two that serve the same provider the first is asked."""

    caches: Caches
    runners: Sequence[ToolRunner]

    def of(self, call: ToolCall) -> Tool | None:
        """The tool of a call; None where there is none, or not yet."""
        origin = call.spec.origin
        if origin is None:
            return None
        provider = self._provider(call)
        if provider is None and origin.kind != "Builtin":
            return None
        runner = next((r for r in self.runners if r.serves(provider)), None)
        if runner is None:
            return None
        nature = runner.nature(provider, origin.tool)
        if provider is None:
            return Tool(None, runner, ToolState(nature, looks=runner.looks))
        status = provider.status
        return Tool(provider, runner, ToolState(nature, status.ready, status.status_detail, runner.looks))

    def run_of(self, call: ToolCall) -> TaskRun | None:
        """The run of the call. None if it was deleted, even if a new one has the same name."""
        run = self.caches.runs.get(Key(call.metadata.namespace, call.spec.task_run))
        owner = controller_of(call)
        return None if run is None or (owner is not None and owner.uid != run.metadata.uid) else run

    async def environment(self, tool: Tool) -> Environment | Missing:
        """The variables of the tool process, including secrets. They are read before anything is started."""
        provider = tool.provider
        if provider is None:
            return {}
        return await named_values(provider.metadata.namespace, provider.env, self.caches.secrets)

    def _provider(self, call: ToolCall) -> Provider | None:
        origin = call.spec.origin
        if origin is None or origin.kind == "Builtin":
            return None
        key = Key(call.metadata.namespace, origin.name)
        return self.caches.tools.get(key) if origin.kind == "Tool" else self.caches.servers.get(key)
