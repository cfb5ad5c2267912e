"""The Tool controller: can the tool be used, and what is a model told about it?"""

from __future__ import annotations

from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from kubechain.agents.ports.tool import Described, Description
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.providing import ProviderController
from kubechain.resources.tool import TOOLS, OfferedTool, Tool, ToolStatus
from kubechain.runtime.wakes import Wake, referred


class ToolController(ProviderController[Tool, ToolStatus]):
    kind = TOOLS

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, parts.caches.tools)

    def status_of(self, provider: Tool) -> ToolStatus:
        return replace(provider.status, type=next((r.kind for r in self._parts.tools if r.serves(provider)), ""))

    def told(self, provider: Tool, described: Described) -> ToolStatus:
        """What the manifest says takes precedence over what the tool says."""
        spec, status = provider.spec, self.status_of(provider)
        if provider.many:
            offered = [_offered(tool) for tool in described.tools]
            return replace(status, description=spec.description, tools=offered)
        found = described.tools[0]
        return replace(
            status,
            description=spec.description or found.description,
            parameters=found.parameters if isinstance(spec.parameters, UnsetType) else spec.parameters,
        )


def _offered(tool: Description) -> OfferedTool:
    return OfferedTool(
        name=tool.name, description=tool.description, input_schema=tool.parameters, effect=tool.effect
    )


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its Secrets."""
    return (referred(caches.secrets, caches.tools, "secret"),)
