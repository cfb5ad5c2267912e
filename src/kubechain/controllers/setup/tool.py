"""The Tool controller: can the tool be used, and what is a model told about it? It knows no kind of tool."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from kubechain.agents.ports.tool import Described, ToolError, ToolRunner
from kubechain.agents.toolbox import Verdict
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.executions import Executions
from kubechain.controllers.saving import save_status
from kubechain.controllers.secrets import Missing, named_values
from kubechain.controllers.setup.readiness import judged, same
from kubechain.errors import Terminal, Transient
from kubechain.resources.model import Clock
from kubechain.resources.readiness import settled
from kubechain.resources.tool import TOOLS, Tool, ToolStatus
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next
from kubechain.runtime.ownership import key_of


class ToolController(Struct):
    api: Api
    caches: Caches
    runners: Sequence[ToolRunner]
    executions: Executions
    clock: Clock
    seen: set[Key] = set()
    """Tools that this process has looked at: the code of one may have changed since an earlier life."""
    kind = TOOLS

    async def reconcile(self, tool: Tool) -> Next:
        env = await named_values(tool.metadata.namespace, tool.env, self.caches.secrets)
        if isinstance(env, Missing):
            await self._write(tool, Verdict("Pending", env.reason, env.detail), tool.status)
            return Done()
        key = key_of(tool)
        if key in self.seen and settled(tool.status, tool.metadata.generation):
            return Done()
        self.seen.add(key)
        try:
            described = await self._runner(tool).describe(tool, env)
        except Terminal as error:
            await self._write(tool, Verdict("Error", error.reason, str(error)), tool.status)
        except ToolError as error:
            await self._write(tool, Verdict("Error", "Refused", str(error)), tool.status)
        except Transient as error:
            await self._write(tool, Verdict("Error", error.reason, str(error)), tool.status)
            raise
        else:
            ready = Verdict("Ready", described.reason, described.detail)
            await self._write(tool, ready, _told(tool, described))
        return Done()

    async def gone(self, last: Tool) -> None:
        """What the tool has at work is cut off, and what was kept for it ends."""
        key = key_of(last)
        self.seen.discard(key)
        for call in self.caches.calls.by("origin", f"Tool/{key}"):
            self.executions.interrupt(call, f'Tool "{key.name}" was deleted')
        await self._runner(last).forget(last)

    def _runner(self, tool: Tool) -> ToolRunner:
        """Raises Terminal where no runner serves the tool."""
        runner = next((r for r in self.runners if r.serves(tool)), None)
        if runner is None:
            raise Terminal("this version of KubeChain cannot run tools of its kind", reason="UnknownKind")
        return runner

    async def _write(self, tool: Tool, verdict: Verdict, told: ToolStatus) -> None:
        status = judged(told, verdict, tool.metadata.generation, self.clock)
        status = replace(status, type=next((r.kind for r in self.runners if r.serves(tool)), ""))
        if not same(tool.status, status):
            await save_status(self.api, self.caches.tools, tool, status)


def _told(tool: Tool, described: Described) -> ToolStatus:
    """What the manifest says wins over what the tool itself says."""
    found = described.tools[0]
    return replace(
        tool.status,
        description=tool.spec.description or found.description,
        parameters=found.parameters if isinstance(tool.spec.parameters, UnsetType) else tool.spec.parameters,
    )
