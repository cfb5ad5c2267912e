"""Runs the tool behind a call: a Python function or a tool of an MCP server. Called by the ToolCall controller."""

from __future__ import annotations

from msgspec import Struct

from kubechain.agents.call.step import Execute
from kubechain.agents.ports.tool import Environment, FunctionCall, FunctionRunner, MCPSessions
from kubechain.controllers.caches import Caches
from kubechain.controllers.secrets import Missing, named_values
from kubechain.controllers.setup.mcpserver import command_of, owner
from kubechain.errors import Terminal
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ToolCall


class Tools(Struct, frozen=True):
    """Everything that can run a tool."""

    caches: Caches
    functions: FunctionRunner
    sessions: MCPSessions

    async def environment(self, provider: Tool | MCPServer) -> Environment | Missing:
        """The variables of the tool's process, secrets filled in: looked for before anything is begun."""
        variables = provider.env if isinstance(provider, Tool) else provider.spec.env
        return await named_values(provider.metadata.namespace, variables, self.caches.secrets)

    async def call(self, call: ToolCall, step: Execute, env: Environment) -> str:
        """The result as text. Raises ToolError, Terminal or Transient."""
        provider, timeout = step.provider, step.nature.timeout
        arguments = (call.spec.arguments.strip() or "{}").encode()
        if isinstance(provider, MCPServer):
            name = call.spec.origin.tool if call.spec.origin else call.spec.tool
            return await self.sessions.call(
                owner(provider), command_of(provider, env), name, arguments, timeout, call.metadata.uid
            )
        if provider.spec.function is None:
            raise Terminal(f'Tool "{provider.metadata.name}" has no function to run', reason="NoFunction")
        return await self.functions.call(
            FunctionCall(
                provider.spec.function.entrypoint,
                arguments,
                timeout,
                env,
                call.metadata.uid,
                hidden=frozenset(v.name for v in provider.env if v.value_from is not None),
                about={"tool": call.spec.tool, "task_run": call.spec.task_run},
            )
        )
