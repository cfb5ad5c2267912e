"""`read_result`: how a model reads on in a tool result that was too long to be shown whole.

Pure. A row of the table of built-in tools. It is offered from the first stored result of a run on.
"""

from __future__ import annotations

from msgspec import Raw, Struct, ValidationError, json

from kubechain.agents.ports.model import ToolOffer
from kubechain.resources.taskrun import TaskRun

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


class Reading(Struct, forbid_unknown_fields=True):
    """Arguments of `read_result`: what is to be read."""

    handle: str
    offset: int = 0


def is_offered(run: TaskRun, stored: int) -> bool:
    """To a run of which at least one result was stored."""
    return stored > 0


def reading(arguments: str) -> Reading | str:
    """What is to be read, or what is wrong with the arguments, told to the model."""
    try:
        return json.decode(arguments.encode(), type=Reading)
    except ValidationError as error:
        return f"{error}; give handle and offset"
