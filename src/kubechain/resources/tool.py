"""Tool: something a model can call. In this version: a Python function, or work done outside."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.resources.duration import PATTERN
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.limits import Resources
from kubechain.resources.model import Model, Resource, Rule, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import EnvVar, LabelSelector

Effect = Literal["ReadOnly", "Idempotent", "NonIdempotent"]
Interrupt = Literal["Retry", "Fail", "Ask"]


class FunctionTool(Model, kw_only=True, gc=False):
    """A Python function. It runs in a tool process, never in the controller."""

    entrypoint: Annotated[
        str,
        doc(
            "module:function. Description and parameters come from its docstring and type hints.",
            pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$",
        ),
    ]
    env: Annotated[
        list[EnvVar], doc("The environment variables of the tool process. It gets no others.", max_length=100)
    ] = []
    resources: (
        Annotated[
            Resources,
            doc("What its tool process may use. Functions with the same variables and limits share a process."),
        ]
        | None
    ) = None


class ExternalTool(Model, kw_only=True, gc=False):
    """Work done by someone outside, who writes the result into the ToolCall's status when it is done."""


def _one_type(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("function" in node) != ("external" in node)


class ToolSpec(Model, kw_only=True, gc=False):
    """What the tool does and how it is called."""

    rules = (Rule("has(self.function) != has(self.external)", "set one of function and external", _one_type),)

    description: Annotated[str, doc("What the model is told; default: the function's docstring.")] = ""
    parameters: (
        Annotated[
            Raw, doc("JSON Schema of the arguments; default: from the type hints.", schema={"type": "object"})
        ]
        | UnsetType
    ) = UNSET
    function: Annotated[FunctionTool, doc("A Python function.")] | None = None
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
    agent_selector: (
        Annotated[
            LabelSelector,
            doc("Offers the tool to agents that do not list it; {} to every agent of the namespace."),
        ]
        | None
    ) = None


class ToolStatus(ReadyStatus, omit_defaults=False, kw_only=True, gc=False):
    """Readiness, and what models are told about the tool."""

    type: Annotated[str, doc("function or external.")] = ""
    description: Annotated[str, doc("What the model is told.")] = ""
    parameters: Annotated[Raw, doc("JSON Schema of the arguments.", schema={"type": "object"})] = Raw(b"{}")


class Tool(Resource, kw_only=True, gc=False):
    """A Tool is something a model can call."""

    spec: Annotated[ToolSpec, doc("Desired state.")]
    status: Annotated[ToolStatus, doc("Observed state.")] = msgspec.field(default_factory=ToolStatus)

    @property
    def env(self) -> list[EnvVar]:
        """The variables of its process; none where it has no process."""
        return self.spec.function.env if self.spec.function else []


def interrupt_policy(effect: Effect, stated: Interrupt | None) -> Interrupt:
    """What happens to a call cut off in its middle, from the tool's nature unless stated."""
    if stated is not None:
        return stated
    return "Ask" if effect == "NonIdempotent" else "Retry"


TOOLS = our_kind(
    Tool,
    "tools",
    columns=(Column("Type", ".status.type", description="What the tool is"), READY, STATUS, DETAIL),
)
