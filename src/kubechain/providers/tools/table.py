"""The kinds of tools: each has one folder and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.agents.ports.tool import ToolRunner
from kubechain.providers.tools.external.runner import ExternalRunner
from kubechain.providers.tools.function.calls import FunctionProcesses
from kubechain.providers.tools.function.functions import FunctionRunner
from kubechain.providers.tools.late import LateRunner
from kubechain.providers.tools.mcp.runner import MCPRunner
from kubechain.providers.tools.mcp.server import MCPSessions


def runners(
    functions: FunctionProcesses, sessions: MCPSessions, containers: Sequence[ToolRunner] = ()
) -> Sequence[ToolRunner]:
    """One of each kind; of two that serve the same provider the first is asked.

    `containers`: what runs containers here, if anything does.
    """
    return (
        FunctionRunner(functions),
        LateRunner("http", _http),
        LateRunner("openapi", _openapi),
        ExternalRunner(),
        MCPRunner(sessions),
        *containers,
    )


def _http() -> ToolRunner:
    from kubechain.providers.tools.http.runner import HTTPRunner

    return HTTPRunner()


def _openapi() -> ToolRunner:
    from kubechain.providers.tools.openapi.runner import OpenAPIRunner

    return OpenAPIRunner()
