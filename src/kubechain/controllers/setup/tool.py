"""The Tool controller: can the function be imported, and what is a model told about it?"""

from __future__ import annotations

from msgspec import Raw, Struct, UnsetType
from msgspec.structs import replace

from kubechain.agents.ports.tool import FunctionRunner, FunctionSignature
from kubechain.agents.toolbox import Verdict
from kubechain.controllers.caches import Caches
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
    functions: FunctionRunner
    clock: Clock
    seen: set[Key] = set()
    """Tools that this process has looked at: the code of one may have changed since an earlier life."""
    kind = TOOLS

    async def reconcile(self, tool: Tool) -> Next:
        function = tool.spec.function
        if function is None:
            ready = Verdict("Ready", "External", "Its calls wait for a result from outside")
            await self._write(tool, ready, _told(tool, FunctionSignature("", Raw(b'{"type":"object"}'))))
            return Done()
        env = await named_values(tool.metadata.namespace, function.env, self.caches.secrets)
        if isinstance(env, Missing):
            await self._write(tool, Verdict("Pending", env.reason, env.detail), tool.status)
            return Done()
        key = key_of(tool)
        if key in self.seen and settled(tool.status, tool.metadata.generation):
            return Done()
        self.seen.add(key)
        try:
            signature = await self.functions.inspect(function.entrypoint, env)
        except Terminal as error:
            await self._write(tool, Verdict("Error", error.reason, str(error)), tool.status)
        except Transient as error:
            await self._write(tool, Verdict("Error", error.reason, str(error)), tool.status)
            raise
        else:
            ready = Verdict("Ready", "FunctionFound", f"Function {function.entrypoint} is ready")
            await self._write(tool, ready, _told(tool, signature))
        return Done()

    async def gone(self, last: Tool) -> None:
        self.seen.discard(key_of(last))

    async def _write(self, tool: Tool, verdict: Verdict, told: ToolStatus) -> None:
        status = judged(told, verdict, tool.metadata.generation, self.clock)
        status = replace(status, type="function" if tool.spec.function else "external")
        if not same(tool.status, status):
            await save_status(self.api, self.caches.tools, tool, status)


def _told(tool: Tool, signature: FunctionSignature) -> ToolStatus:
    """What the manifest says wins over what the function says."""
    return replace(
        tool.status,
        description=tool.spec.description or signature.description,
        parameters=signature.parameters if isinstance(tool.spec.parameters, UnsetType) else tool.spec.parameters,
    )
