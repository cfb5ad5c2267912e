"""Big tool results: what stays in the ToolCall, what moves to ToolResults, and what the model is told of the rest.

Pure. The handle of a stored result is the name of its ToolCall.
"""

from __future__ import annotations

from msgspec import Struct

from kubechain.agents.builtin.read_result import READ_RESULT
from kubechain.agents.naming import result_name
from kubechain.resources.toolcall import StoredResult, ToolCall
from kubechain.resources.toolresult import ToolResultSpec

INLINE = 16 * 1024
"""Characters of a result that a ToolCall holds itself."""
PREVIEW = 8 * 1024
"""Characters of a bigger result that stay in the ToolCall."""
PART = 32 * 1024
"""Characters in one ToolResult: under 200 KB whatever they are."""


class Split(Struct, frozen=True):
    """A result as it is kept: `inline` in the ToolCall, `parts` (name and content) beside it."""

    inline: str
    stored: StoredResult | None = None
    parts: tuple[tuple[str, ToolResultSpec], ...] = ()


def split(call: ToolCall, result: str) -> Split:
    """The whole result inline, or a preview and its parts. The same result gives the same names."""
    if len(result) <= INLINE:
        return Split(result)
    name = result_name(call.metadata.name, result)
    stretches = [result[at : at + PART] for at in range(0, len(result), PART)]
    parts = tuple(
        (part_name(name, n), ToolResultSpec(tool_call=call.metadata.name, part=n, content=text))
        for n, text in enumerate(stretches, 1)
    )
    return Split(result[:PREVIEW], StoredResult(name=name, parts=len(parts), characters=len(result)), parts)


def part_name(name: str, part: int) -> str:
    """The ToolResult that holds the `part`-th part (from 1) of a stored result."""
    return f"{name}-{part}"


def cut_note(handle: str, end: int, total: int) -> str:
    """What stands where a result was cut: how much there is, and how to go on."""
    way_on = f'Go on with {READ_RESULT}: handle "{handle}", offset {end}'
    return f"\n[{total} characters in all, shown up to {end}. {way_on}]"
