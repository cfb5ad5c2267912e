"""The kind of tool `agent`: another agent, each call of which is a TaskRun of its own."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.effect import Effect
from kubechain.resources.model import doc
from kubechain.resources.toolkind import ToolKind


class AgentTool(ToolKind, kw_only=True, gc=False):
    """Another agent. It is called with a `message`, and its answer is the result."""

    name: Annotated[str, doc("Name of the Agent. A missing one is waited for.", min_length=1, max_length=253)]

    @property
    def default_effect(self) -> Effect:
        """What the agent's own tools do, they guard themselves."""
        return "ReadOnly"
