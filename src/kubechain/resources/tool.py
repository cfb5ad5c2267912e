"""Tool: something a model can call, of one of several kinds.

To add a kind: a module `tool_<kind>.py` with a subclass of `ToolKind`, a member of that type in ToolSpec, and one
row in KINDS. Whatever the kind: its arguments are validated against `parameters` before it starts, `retries`
follow the reason that its runner gives (`ToolError.trouble`), and values of Secrets are hidden from what it says.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from kubechain.resources.duration import PATTERN
from kubechain.resources.effect import Effect, Interrupt, Trouble
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, Rule, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import ConfigMapKeyRef, EnvVar, LabelSelector
from kubechain.resources.tool_agent import AgentTool
from kubechain.resources.tool_container import ContainerTool
from kubechain.resources.tool_external import ExternalTool
from kubechain.resources.tool_function import FunctionTool
from kubechain.resources.tool_http import HTTPTool
from kubechain.resources.tool_openapi import OpenAPITool
from kubechain.resources.toolkind import ToolKind

LIMIT = r"^([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-6])Ki$"


class ToolRetries(Model, kw_only=True, gc=False):
    """How often a call that failed is tried again."""

    max: Annotated[int, doc("How often a call is tried again, at most.", ge=0, le=20)] = 0
    backoff: (
        Annotated[
            str,
            doc(
                "Wait before the first retry, as in 500ms; doubled each time, up to 5m. Default 1s.",
                pattern=PATTERN,
            ),
        ]
        | None
    ) = None
    on: Annotated[
        list[Trouble],
        doc(
            "After which failures: Timeout, Transient (a connection that failed), RateLimited, ServerError. "
            "Default: each of them.",
            max_length=4,
        ),
    ] = []


class KindOfTool(Struct, frozen=True):
    """A row of KINDS: `field` is the member of the spec. `repeatable` says in CEL whether calls may be repeated
    where no effect is stated; `ToolKind.default_effect` says the same in Python."""

    field: str
    type: type[ToolKind]
    repeatable: str = "false"


KINDS: tuple[KindOfTool, ...] = (
    KindOfTool("function", FunctionTool),
    KindOfTool("agent", AgentTool, "true"),
    KindOfTool("http", HTTPTool, "self.http.method in ['GET', 'HEAD', 'PUT', 'DELETE']"),
    KindOfTool("openapi", OpenAPITool, "true"),
    KindOfTool("container", ContainerTool),
    KindOfTool("external", ExternalTool, "true"),
)


def _one_kind() -> Rule:
    """Exactly one member names what the tool is."""
    fields = [kind.field for kind in KINDS]

    def holds(node: object, _: object) -> bool:
        return isinstance(node, dict) and sum(field in node for field in fields) == 1

    tests = ", ".join(f"has(self.{field})" for field in fields)
    return Rule(
        f"[{tests}].filter(x, x).size() == 1", "set one member that says what the tool is, such as function", holds
    )


def _retries_where_harmless() -> Rule:
    """Only what may be repeated is tried again."""
    unstated = " || ".join(f"(has(self.{kind.field}) && {kind.repeatable})" for kind in KINDS)
    cel = (
        "!has(self.retries) || !has(self.retries.max) || self.retries.max == 0 || "
        f"(has(self.effect) ? self.effect != 'NonIdempotent' : ({unstated}))"
    )
    return Rule(cel, "retries need effect ReadOnly or Idempotent", _retries_harmless, ".retries")


def _retries_harmless(node: object, _: object) -> bool:
    if (
        not isinstance(node, dict)
        or not isinstance(retries := node.get("retries"), dict)
        or not retries.get("max")
    ):
        return True
    if effect := node.get("effect"):
        return bool(effect != "NonIdempotent")
    found = [msgspec.convert(node[kind.field], kind.type) for kind in KINDS if kind.field in node]
    return any(kind.many or kind.default_effect != "NonIdempotent" for kind in found)


class ToolSpec(Model, kw_only=True, gc=False):
    """What the tool does and how it is called."""

    rules = (_one_kind(), _retries_where_harmless())

    description: Annotated[str, doc("What the model is told; default: the function's docstring.")] = ""
    parameters: (
        Annotated[
            Raw, doc("JSON Schema of the arguments; default: from the type hints.", schema={"type": "object"})
        ]
        | UnsetType
    ) = UNSET
    function: Annotated[FunctionTool, doc("A Python function.")] | None = None
    agent: Annotated[AgentTool, doc("Another agent; each call is a TaskRun of its own.")] | None = None
    http: Annotated[HTTPTool, doc("One HTTP request.")] | None = None
    openapi: Annotated[OpenAPITool, doc("The operations of an OpenAPI document.")] | None = None
    container: Annotated[ContainerTool, doc("A program in a container image.")] | None = None
    external: (
        Annotated[
            ExternalTool,
            doc("Work done outside: the ToolCall stays Running until someone writes its phase and result."),
        ]
        | None
    ) = None
    effect: Annotated[Effect, doc("What a repeated call does; default NonIdempotent.")] | None = None
    on_interrupt: (
        Annotated[
            Interrupt,
            doc(
                "What happens to a call that a crash interrupts: Retry it, Fail it, or Ask a person. "
                "Default: Retry for ReadOnly and Idempotent, else Ask."
            ),
        ]
        | None
    ) = None
    timeout: (
        Annotated[str, doc("Longest time one call may take, as in 30s; default 5m.", pattern=PATTERN)] | None
    ) = None
    retries: (
        Annotated[ToolRetries, doc("Whether a call that failed is tried again; default: it is not.")] | None
    ) = None
    max_concurrent: (
        Annotated[int, doc("How many calls of it run at the same time, over all runs; default: any number.", ge=1)]
        | None
    ) = None
    parallel: (
        Annotated[
            bool,
            doc("false: within a run, one call after another, in the order of the model's reply. Default true."),
        ]
        | None
    ) = None
    result_limit: (
        Annotated[
            str,
            doc(
                "Longest result that is kept, from 1Ki to 256Ki; a longer one is cut, and the model is told. "
                "Default 256Ki.",
                pattern=LIMIT,
            ),
        ]
        | None
    ) = None
    agent_selector: (
        Annotated[
            LabelSelector,
            doc("Offers the tool to agents that do not list it; {} to every agent of the namespace."),
        ]
        | None
    ) = None


class OfferedTool(Model, kw_only=True, gc=False):
    """One of the tools that a Tool offers."""

    name: Annotated[str, doc("Its name there.")]
    description: Annotated[str, doc("What the model is told about it.")] = ""
    input_schema: Annotated[Raw, doc("JSON Schema of its arguments.", schema={"type": "object"})] = Raw(b"{}")
    effect: Annotated[Effect, doc("What a repeated call does.")] = "NonIdempotent"


class ToolStatus(ReadyStatus, omit_defaults=False, kw_only=True, gc=False):
    """Readiness, and what models are told about the tool."""

    type: Annotated[str, doc("The kind of tool: function, agent and so on.")] = ""
    description: Annotated[str, doc("What the model is told.")] = ""
    parameters: Annotated[Raw, doc("JSON Schema of the arguments.", schema={"type": "object"})] = Raw(b"{}")
    tools: Annotated[
        list[OfferedTool],
        doc(
            "The tools that it offers, for a kind that offers several.",
            schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []


class Tool(Resource, kw_only=True, gc=False):
    """A Tool is something a model can call."""

    spec: Annotated[ToolSpec, doc("Desired state.")]
    status: Annotated[ToolStatus, doc("Observed state.")] = msgspec.field(default_factory=ToolStatus)

    @property
    def kind_of_tool(self) -> ToolKind | None:
        """What it is: the one member of the spec that names a kind."""
        return next((found for kind in KINDS if (found := getattr(self.spec, kind.field)) is not None), None)

    @property
    def many(self) -> bool:
        """Whether it offers several tools, listed in its status."""
        kind = self.kind_of_tool
        return kind is not None and kind.many

    @property
    def config_map(self) -> ConfigMapKeyRef | None:
        """The text in a ConfigMap that its runner gets with every call, if any."""
        kind = self.kind_of_tool
        return kind.config_map if kind is not None else None

    @property
    def env(self) -> list[EnvVar]:
        """The values that its runner gets with every call."""
        kind = self.kind_of_tool
        return kind.variables if kind is not None else []


TOOLS = our_kind(
    Tool,
    "tools",
    columns=(Column("Type", ".status.type", description="What the tool is"), READY, STATUS, DETAIL),
)
