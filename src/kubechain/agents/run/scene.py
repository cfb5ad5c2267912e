"""The input and the results of `next_step`: what was observed of a run, and what can be due for it.

Data alone: step.py decides, the TaskRun controller observes and acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from kubechain.resources.agent import Agent, ResolvedTool
from kubechain.resources.llm import LLM
from kubechain.resources.message import Message
from kubechain.resources.task import Task
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall, ToolCallSpec

Due: TypeAlias = list[tuple[str, ToolCallSpec]]
"""ToolCalls that are to be made: computed name and spec."""


class Scene(msgspec.Struct, frozen=True, gc=False):
    """A run and what it depends on; None if an object does not exist.

    `calls` holds those of its ToolCalls that exist and that its last reply asks for, by name. `called`: it is the
    run of a sub-agent; `caller` is the ToolCall that it answers, None if that does not exist.
    """

    run: TaskRun
    task: Task | None = None
    agent: Agent | None = None
    llm: LLM | None = None
    calls: Mapping[str, ToolCall] = {}
    called: bool = False
    caller: ToolCall | None = None


class Idle(msgspec.Struct, frozen=True, gc=False):
    """Nothing is due, now or later."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask the model. `unsaved` are the messages not in the run yet; they are saved with the reply.

    `stored` is how many results of the run so far were too big to be shown whole; `mended` says whether the
    conversation has to be made fit for strict servers before it is sent.
    """

    llm: LLM
    agent: Agent
    tools: list[ResolvedTool]
    unsaved: list[Message]
    stored: int = 0
    mended: bool = False


class CreateCalls(msgspec.Struct, frozen=True, gc=False):
    """Make sure that these children exist."""

    missing: Due


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Wait for another object to change; `on` says which one and why.

    `reason` is that of the condition Succeeded meanwhile; without one the condition stays as it is.
    """

    on: str
    reason: str = ""


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The run cannot do its task: `reason` in one CamelCase word, `message` in a sentence."""

    reason: str
    message: str


Step: TypeAlias = Idle | Ask | CreateCalls | Wait | Fail
