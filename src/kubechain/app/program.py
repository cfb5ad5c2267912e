"""A running program, as the composition roots give it to the CLI, to tests and to benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from kubechain.app.loops import ControlLoops
from kubechain.runtime.api import Api

FIRST_CALL = "kubechain.providers.models.chat.completions"
"""What the first model call would otherwise import while it waits."""


class Running(Struct, frozen=True):
    """A program that answers: where, how to point kubectl at it, and who answers for models."""

    url: str
    kubeconfig: Path
    model_line: str
    port: int


class Program(Struct, frozen=True):
    """A running program from the inside: what tests and benchmarks hold on to."""

    running: Running
    api: Api
    current: Callable[[], ControlLoops]
    drains: bool = True
    """Whether it is to be drained before it is closed; a replica does so by itself."""

    @property
    def loops(self) -> ControlLoops:
        """The control loops of this moment: a replica that was cut off begins anew with others."""
        return self.current()


class Ending:
    """How a program is told to end. `told` is set once; `grace`: seconds for what is in hand then.

    `waiting` is called with what that is, if there is any.
    """

    def __init__(self, grace: Callable[[], float], waiting: Callable[[list[str], float], None]) -> None:
        self.told = asyncio.Event()
        self.serving = False
        self.grace, self.waiting = grace, waiting


async def run(
    program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None], ending: Ending
) -> list[str]:
    """Serves until told to end; what could not end within the grace. `ready` is called once everything answers."""
    async with program as running:
        ready(running.running)
        ending.serving = True
        await asyncio.to_thread(import_module, FIRST_CALL)
        await ending.told.wait()
        return await _drained(running.loops, ending) if running.drains else []


async def _drained(loops: ControlLoops, ending: Ending) -> list[str]:
    """Lets what is in hand end; what did not."""
    grace = ending.grace()
    if in_hand := loops.in_hand():
        ending.waiting(in_hand, grace)
    with suppress(TimeoutError):
        await loops.drain(grace)
    return loops.in_hand()
