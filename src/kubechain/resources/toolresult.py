"""ToolResult: a part of a result too big for its ToolCall, or of a file. Immutable, a child of the ToolCall."""

from __future__ import annotations

from typing import Annotated, Literal

from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, doc, immutable


class ToolResultSpec(Model, kw_only=True, gc=False):
    """A stretch of what a tool returned. Cannot be changed."""

    rules = (immutable("a ToolResult cannot be changed"),)

    tool_call: Annotated[str, doc("Name of the ToolCall whose result it is.")]
    part: Annotated[int, doc("Which part, counted from 1.", ge=1)]
    content: Annotated[str, doc("The text; of a file, its bytes in base64.")]
    encoding: Annotated[Literal["base64"], doc("base64 for a part of a file; absent for text.")] | None = None


class ToolResult(Resource, kw_only=True, gc=False):
    """A ToolResult holds a part of a tool's result that is too big for its ToolCall, or of a file it made."""

    spec: Annotated[ToolResultSpec, doc("The text.")]


TOOL_RESULTS = our_kind(
    ToolResult,
    "toolresults",
    has_status=False,
    columns=(
        Column("ToolCall", ".spec.toolCall", description="The call whose result it is"),
        Column("Part", ".spec.part", "integer", description="Which part, counted from 1"),
        Column("Age", ".metadata.creationTimestamp", "date", description="Time since it was stored"),
    ),
)
