"""MCPServer: a server whose tools agents may use. In this version: over stdio."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from kubechain.resources.duration import PATTERN
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import EnvVar
from kubechain.resources.tool import Effect


class MCPServerSpec(Model, kw_only=True, gc=False):
    """How KubeChain starts the server and connects to it."""

    transport: Annotated[Literal["stdio"], doc("How KubeChain connects to the server: stdio, to a child process.")]
    command: Annotated[str, doc("The program to start.", min_length=1)]
    args: Annotated[list[str], doc("Its arguments.")] = []
    env: Annotated[
        list[EnvVar], doc("Its environment variables. It gets no others, except PATH and HOME.", max_length=100)
    ] = []
    timeout: (
        Annotated[str, doc("Longest time one call may take, as in 30s; default 5m.", pattern=PATTERN)] | None
    ) = None


class MCPTool(Model, kw_only=True, gc=False):
    """One tool the server offers."""

    name: Annotated[str, doc("Its name on the server.")]
    description: Annotated[str, doc("What the server says about it.")] = ""
    input_schema: Annotated[Raw, doc("JSON Schema of its arguments.", schema={"type": "object"})] = Raw(b"{}")
    effect: Annotated[Effect, doc("From the server's readOnly and idempotent hints.")] = "NonIdempotent"


class ServerInfo(Model, kw_only=True, gc=False):
    """The name and version that the server reports."""

    name: Annotated[str, doc("Its name.")] = ""
    version: Annotated[str, doc("Its version.")] = ""
    protocol: Annotated[str, doc("The revision of the protocol that both sides use.")] = ""


class MCPServerStatus(ReadyStatus, omit_defaults=False, kw_only=True, gc=False):
    """Readiness, and the tools found."""

    tools: Annotated[
        list[MCPTool],
        doc(
            "The tools it offers.",
            schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    tool_count: Annotated[int, doc("How many tools it offers.")] = 0
    server: Annotated[ServerInfo, doc("The name and version that the server reports.")] = msgspec.field(
        default_factory=ServerInfo
    )


class MCPServer(Resource, kw_only=True, gc=False):
    """An MCPServer is a Model Context Protocol server whose tools agents may use."""

    spec: Annotated[MCPServerSpec, doc("Desired state.")]
    status: Annotated[MCPServerStatus, doc("Observed state.")] = msgspec.field(default_factory=MCPServerStatus)

    @property
    def env(self) -> list[EnvVar]:
        """The variables of its process."""
        return self.spec.env


MCP_SERVERS = our_kind(
    MCPServer,
    "mcpservers",
    columns=(
        Column("Transport", ".spec.transport", description="How KubeChain connects to the server"),
        READY,
        STATUS,
        Column("Tools", ".status.toolCount", "integer", description="How many tools it offers"),
        DETAIL,
    ),
)
