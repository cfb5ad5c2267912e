"""Long tool results: what the ToolCall keeps, what moves to ToolResults, and how a model reads the rest.

Pure. The built-in tool `read_result` is offered once a run has a stored result. The handle of a stored result
is the name of its ToolCall, which keeps a preview; ToolResults have all of it.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct, ValidationError, json

from kubechain.agents.naming import result_name
from kubechain.agents.ports.model import ToolOffer
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import StoredResult, ToolCall
from kubechain.resources.toolresult import ToolResultSpec

READ_RESULT = "read_result"

OFFER = ToolOffer(
    READ_RESULT,
    "Reads on in a tool result that was too long to be shown whole.",
    Raw(
        json.encode(
            {
                "type": "object",
                "properties": {
                    "handle": {"type": "string", "description": "The handle named where the result was cut."},
                    "offset": {"type": "integer", "minimum": 0, "description": "Character to start at."},
                },
                "required": ["handle", "offset"],
            }
        )
    ),
)
INLINE = 16 * 1024
"""Characters of a result that a ToolCall holds itself."""
PREVIEW = 8 * 1024
"""Characters of a bigger result that stay in the ToolCall."""
PART = 32 * 1024
"""Characters in one ToolResult: under 200 KB whatever they are."""


class Reading(Struct, forbid_unknown_fields=True):
    """Arguments of `read_result`: what is to be read."""

    handle: str
    offset: int = 0


def is_offered(run: TaskRun, stored: int) -> bool:
    """Whether the run has a stored result."""
    return stored > 0


def reading(arguments: str) -> Reading | str:
    """What to read, or an error about the arguments for the model."""
    try:
        return json.decode(arguments.encode(), type=Reading)
    except ValidationError as error:
        return f"{error}; give handle and offset"


Part: TypeAlias = tuple[str, ToolResultSpec]
"""A ToolResult that is to be made: its name, and what it holds."""


class Split(Struct, frozen=True):
    """A result as it is kept: `inline` in the ToolCall, `parts` beside it."""

    inline: str
    stored: StoredResult | None = None
    parts: tuple[Part, ...] = ()


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


def cut(result: str, limit: int) -> str:
    """The result, cut to `limit` bytes with a last line that says so."""
    if len(result) * 4 <= limit or len(data := result.encode("utf-8", "replace")) <= limit:
        return result
    kept = data[:limit].decode("utf-8", "ignore")
    return f"{kept}\n[cut: the first {limit:,} of {len(data):,} bytes; ask for a smaller part to see the rest]"


def part_name(name: str, part: int) -> str:
    """The ToolResult that holds the `part`-th part (from 1) of a stored result."""
    return f"{name}-{part}"


def cut_note(handle: str, end: int, total: int) -> str:
    """The note where a result was cut: how long it is, and how to read on."""
    way_on = f'Go on with {READ_RESULT}: handle "{handle}", offset {end}'
    return f"\n[{total} characters in all, shown up to {end}. {way_on}]"
