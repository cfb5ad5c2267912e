"""Task: agent + user message (or a conversation so far)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from kubechain.resources.kind import Column, our_kind
from kubechain.resources.message import Message
from kubechain.resources.model import Model, Resource, Rule, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.run_limits import Limits


def _one_input(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("userMessage" in node) != ("contextWindow" in node)


class TaskSpec(Model, kw_only=True, gc=False):
    """Who is to do what."""

    rules = (
        Rule(
            "has(self.userMessage) != has(self.contextWindow)",
            "set one of userMessage and contextWindow",
            _one_input,
        ),
    )

    agent: Annotated[str, doc("Name of the Agent that does it.", min_length=1, max_length=253)]
    user_message: Annotated[str, doc("What the agent is asked.", min_length=1)] | None = None
    context_window: Annotated[list[Message], doc("A conversation to continue.")] | None = None
    limits: Annotated[Limits, doc("Limits of its runs.")] | None = None


class Task(Resource, kw_only=True, gc=False):
    """A Task is something an agent is to do; each TaskRun does it once."""

    spec: Annotated[TaskSpec, doc("Desired state.")]
    status: Annotated[ReadyStatus, doc("Observed state.")] = msgspec.field(default_factory=ReadyStatus)


TASKS = our_kind(
    Task,
    "tasks",
    columns=(Column("Agent", ".spec.agent", description="The agent that does it"), READY, STATUS, DETAIL),
)
