"""What has to be known of a tool to call it safely. Pure."""

from __future__ import annotations

import msgspec

from kubechain.resources.duration import seconds
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.tool import Effect, Interrupt, Tool, interrupt_policy

DEFAULT_TIMEOUT = 300.0
"""Seconds one call may take where nothing is stated."""
Provider = Tool | MCPServer
"""What offers tools to models."""


class Nature(msgspec.Struct, frozen=True, gc=False):
    """`effect`: what a repeated call does; `on_interrupt`: what follows when it is cut off; `timeout`: seconds."""

    effect: Effect
    on_interrupt: Interrupt
    timeout: float

    @property
    def marked(self) -> bool:
        """Whether Running is written before it starts: a second start would do harm, or is not wanted."""
        return self.effect == "NonIdempotent" or self.on_interrupt != "Retry"


def nature_of(provider: Provider, tool: str = "", default: Effect = "NonIdempotent") -> Nature:
    """The nature of a tool, or of one tool of an MCP server; `default` is the effect where none is stated."""
    timeout = call_timeout(provider)
    if isinstance(provider, Tool):
        effect: Effect = provider.spec.effect or default
        return Nature(effect, interrupt_policy(effect, provider.spec.on_interrupt), timeout)
    effect = next((t.effect for t in provider.status.tools if t.name == tool), default)
    return Nature(effect, interrupt_policy(effect, None), timeout)


def call_timeout(provider: Provider) -> float:
    """Seconds one call may take."""
    return seconds(provider.spec.timeout) if provider.spec.timeout else DEFAULT_TIMEOUT
