"""MCPServer: a server whose tools agents may use: a process of our own over stdio, or one elsewhere over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from kubechain.resources.choice import Glob, chosen, matches
from kubechain.resources.duration import PATTERN
from kubechain.resources.effect import Effect, Interrupt
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.limits import Resources
from kubechain.resources.mcppod import POD, MCPPod
from kubechain.resources.model import Model, Resource, Rule, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import EnvVar, Header
from kubechain.resources.web import ALLOW_PRIVATE, AUTH, HEADERS, HTTP_URL, Auth, values


class MCPToolChoice(Model, kw_only=True, gc=False):
    """Which of a server's tools agents may use, and how models call them."""

    allow: Annotated[list[Glob], doc("Names or globs of the tools to offer; default: all.", max_length=500)] = []
    deny: Annotated[
        list[Glob], doc("Names or globs of tools never to offer, even if allowed.", max_length=500)
    ] = []
    prefix: (
        Annotated[
            str,
            doc(
                "What models see before the tool's name; default: the server's name and two underscores.",
                pattern=r"^[A-Za-z0-9_-]*$",
                max_length=40,
            ),
        ]
        | None
    ) = None


class MCPToolOverride(Model, kw_only=True, gc=False):
    """What the manifest says about some of a server's tools, in place of what the server says."""

    tools: Annotated[list[Glob], doc("Names or globs of the tools it is about.", min_length=1, max_length=500)]
    description: Annotated[str, doc("What the model is told about them.", max_length=16384)] | None = None
    effect: Annotated[Effect, doc("What a repeated call does.")] | None = None
    on_interrupt: (
        Annotated[Interrupt, doc("What happens to a call that a crash interrupts: Retry it, Fail it, or Ask.")]
        | None
    ) = None
    timeout: Annotated[str, doc("Longest time one call may take, as in 30s.", pattern=PATTERN)] | None = None


def _is(transport: str, node: object) -> bool:
    """Whether the spec has this transport: stdio, or one of the others."""
    return isinstance(node, dict) and (node.get("transport") == "stdio") == (transport == "stdio")


def _has(node: object, *fields: str) -> bool:
    return isinstance(node, dict) and any(field in node for field in fields)


_COMMAND = Rule(
    "self.transport != 'stdio' || has(self.command) || has(self.pod)",
    "transport stdio needs a command",
    lambda node, _: not _is("stdio", node) or _has(node, "command", "pod"),
)
_URL = Rule(
    "self.transport == 'stdio' || has(self.url)",
    "transports http and sse need a url",
    lambda node, _: _is("stdio", node) or _has(node, "url"),
)
_STDIO_ONLY = Rule(
    "self.transport == 'stdio' || !(has(self.command) || has(self.args) || has(self.env))",
    "command, args and env are for transport stdio",
    lambda node, _: _is("stdio", node) or not _has(node, "command", "args", "env"),
)
_HTTP_ONLY = Rule(
    "self.transport != 'stdio' || "
    "!(has(self.url) || has(self.headers) || has(self.auth) || has(self.allowPrivate))",
    "url, headers, auth and allowPrivate are for transports http and sse",
    lambda node, _: not _is("stdio", node) or not _has(node, "url", "headers", "auth", "allowPrivate"),
)


class MCPServerSpec(Model, kw_only=True, gc=False):
    """How KubeChain starts the server, or where it is, and how KubeChain connects to it."""

    rules = (_COMMAND, _URL, _STDIO_ONLY, _HTTP_ONLY, POD)

    transport: Annotated[
        Literal["stdio", "http", "sse"],
        doc(
            "How KubeChain connects to the server: stdio, to a process that it starts; http, over streamable "
            "HTTP; sse, over HTTP as servers of revision 2024-11-05 speak it."
        ),
    ]
    command: Annotated[str, doc("The program to start.", min_length=1)] | None = None
    args: Annotated[list[str], doc("Its arguments.")] = []
    url: (
        Annotated[str, doc("Where the server is, for http and sse.", pattern=HTTP_URL, max_length=2048)] | None
    ) = None
    headers: Annotated[list[Header], HEADERS] = []
    auth: Annotated[Auth, AUTH] | None = None
    allow_private: Annotated[bool, ALLOW_PRIVATE] = False
    env: Annotated[
        list[EnvVar], doc("Its environment variables. It gets no others, except PATH and HOME.", max_length=100)
    ] = []
    working_dir: (
        Annotated[str, doc("The folder it is started in; default /.", pattern="^/", max_length=4096)] | None
    ) = None
    timeout: (
        Annotated[str, doc("Longest time one call may take, as in 30s; default 5m.", pattern=PATTERN)] | None
    ) = None
    start_timeout: (
        Annotated[str, doc("Longest time it may take to start; default 1m.", pattern=PATTERN)] | None
    ) = None
    idle_timeout: (
        Annotated[
            str,
            doc(
                "How long a process that nobody uses is kept; the next call starts it again. Default 10m; 0s "
                "keeps it for good.",
                pattern=PATTERN,
            ),
        ]
        | None
    ) = None
    resources: Annotated[Resources, doc("What its processes may use together.")] | None = None
    run: Annotated[
        Literal["Process", "Pod"],
        doc(
            "Where it runs: Process, beside the program; Pod, in a pod of its own, which takes a cluster and "
            "the right to make pods (kubechain install --mcp-pods)."
        ),
    ] = "Process"
    pod: Annotated[MCPPod, doc("Its pod, with run: Pod.")] | None = None
    tools: Annotated[MCPToolChoice, doc("Which of its tools agents may use.")] | None = None
    overrides: Annotated[
        list[MCPToolOverride],
        doc(
            "Corrections of what it says about its tools. Of several about one tool, the last counts.",
            max_length=100,
        ),
    ] = []


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

    def offers(self, tool: str) -> bool:
        """Whether the spec lets agents use the tool."""
        choice = self.spec.tools
        return choice is None or chosen(tool, choice.allow, choice.deny)

    def override(self, tool: str) -> MCPToolOverride:
        """What the spec says about the tool; a field that it does not mention is None."""
        found = MCPToolOverride(tools=[])
        for one in self.spec.overrides:
            if matches(tool, one.tools):
                for field in ("description", "effect", "on_interrupt", "timeout"):
                    if (stated := getattr(one, field)) is not None:
                        setattr(found, field, stated)
        return found

    @property
    def env(self) -> list[EnvVar]:
        """The values that it is started or called with."""
        return self.spec.env if self.spec.transport == "stdio" else values(self.spec.headers, self.spec.auth)


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
