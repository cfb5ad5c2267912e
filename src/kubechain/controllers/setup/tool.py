"""The Tool controller: can the tool be used, and what is a model told about it?"""

from __future__ import annotations

from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from kubechain.agents.call.arguments import unusable
from kubechain.agents.ports.tool import Described, Description
from kubechain.agents.toolbox import Assessment, missing, not_ready
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.providing import ProviderController
from kubechain.errors import Terminal
from kubechain.resources.tool import TOOLS, OfferedTool, Tool, ToolStatus
from kubechain.runtime.api import Key
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
        parameters = found.parameters if isinstance(spec.parameters, UnsetType) else spec.parameters
        if wrong := unusable(parameters):
            raise Terminal(
                f"spec.parameters is not a JSON Schema that can be used: {wrong}", reason="InvalidSchema"
            )
        return replace(status, description=spec.description or found.description, parameters=parameters)

    def waits_for(self, provider: Tool) -> Assessment | None:
        """A Tool that calls an agent waits for it."""
        if provider.spec.agent is None:
            return None
        name = provider.spec.agent.name
        agent = self._parts.caches.agents.get(Key(provider.metadata.namespace, name))
        if agent is None:
            return missing("Agent", name)
        return None if agent.status.ready else not_ready("Agent", name, agent.status)

    def depends_on(self, provider: Tool) -> str:
        """What it says of an agent may be that agent's description."""
        if provider.spec.agent is None:
            return ""
        agent = self._parts.caches.agents.get(Key(provider.metadata.namespace, provider.spec.agent.name))
        return f" {agent.metadata.uid[:8]}.{agent.metadata.generation}" if agent else ""


def _offered(tool: Description) -> OfferedTool:
    return OfferedTool(
        name=tool.name, description=tool.description, input_schema=tool.parameters, effect=tool.effect
    )


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its Secrets, its ConfigMap, and the agent that it calls."""
    return (
        referred(caches.secrets, caches.tools, "secret"),
        referred(caches.config_maps, caches.tools, "config_map"),
        referred(caches.agents, caches.tools, "agent"),
    )
