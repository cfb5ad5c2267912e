"""A sub-agent as a tool: what the model is told about it, and what it asked. Pure.

The toolbox and the runner of sub-agents (`controllers/calls/delegation`) call it.
"""

from __future__ import annotations

from msgspec import Raw, Struct, ValidationError, json

from kubechain.resources.agent import Agent

PARAMETERS = Raw(
    json.encode(
        {
            "type": "object",
            "properties": {
                "message": {
                    "type": "string",
                    "minLength": 1,
                    "description": "What the agent is to do, with everything it needs to know: "
                    "it does not see this conversation.",
                }
            },
            "required": ["message"],
        }
    )
)


class _Asked(Struct):
    message: str


def told_of(agent: Agent | None, name: str, stated: str = "") -> str:
    """What a model is told about the sub-agent `name`."""
    return stated or (agent.spec.description if agent else "") or f"Asks the agent {name}, and returns its answer."


def message_of(arguments: bytes) -> str | None:
    """The message for the sub-agent; None where the arguments have none."""
    try:
        return json.decode(arguments, type=_Asked).message or None
    except (ValidationError, ValueError):
        return None
