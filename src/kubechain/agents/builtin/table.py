"""The tools that KubeChain itself offers to models, as a table: which runs get which tool, and what a call does.

Pure. The decision about a run reads the offers, the decision about a ToolCall the steps. One file a tool; a new
tool is one file and one row. A tool of the agent that has the same name takes precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from msgspec import Struct

from kubechain.agents.builtin import read_result
from kubechain.agents.builtin.read_result import Reading
from kubechain.agents.ports.model import ToolOffer
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.taskrun import TaskRun

BuiltinStep: TypeAlias = Reading
"""What a call of a built-in tool asks for: one type a tool, a closed union."""


class Builtin(Struct, frozen=True):
    """One built-in tool.

    `is_offered(run, stored)` says whether a run gets it; `stored` counts the results of the run that were too big
    to be shown whole, those that are about to be told among them. `step(arguments)` is what a call asks for, or
    what is wrong with its arguments, told to the model.
    """

    offer: ToolOffer
    is_offered: Callable[[TaskRun, int], bool]
    step: Callable[[str], BuiltinStep | str]


TABLE: dict[str, Builtin] = {
    read_result.READ_RESULT: Builtin(read_result.OFFER, read_result.is_offered, read_result.reading),
}


def offers(run: TaskRun, stored: int, taken: Collection[str] = ()) -> list[ToolOffer]:
    """The built-in tools that the run gets in addition to those of its agent, whose names are `taken`."""
    return [
        builtin.offer for name, builtin in TABLE.items() if builtin.is_offered(run, stored) and name not in taken
    ]


def origin_of(name: str, run: TaskRun) -> ToolOrigin | None:
    """The origin of a call of the built-in tool `name`; None where the run was not offered it."""
    builtin = TABLE.get(name)
    if builtin is None or not builtin.is_offered(run, run.status.stored_results):
        return None
    return ToolOrigin(kind="Builtin", name=name)


def step_of(name: str, arguments: str) -> BuiltinStep | str:
    """What a call of the built-in tool `name` asks for, or why it cannot be done, told to the model."""
    builtin = TABLE.get(name)
    return f'there is no built-in tool "{name}"' if builtin is None else builtin.step(arguments)
