"""The kind of tool `external`: work done by someone outside."""

from __future__ import annotations

from kubechain.resources.effect import Effect
from kubechain.resources.toolkind import ToolKind


class ExternalTool(ToolKind, kw_only=True, gc=False):
    """Work done by someone outside, who writes the result into the ToolCall's status when it is done."""

    @property
    def default_effect(self) -> Effect:
        """Asking once more has no effect by itself."""
        return "ReadOnly"
