"""A running program, as the composition roots give it to the CLI, to tests and to benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib import import_module
from pathlib import Path

from msgspec import Struct

from kubechain.app.loops import ControlLoops
from kubechain.runtime.api import Api

FIRST_CALL = "kubechain.providers.models.chat.completions"
"""What the first model call would otherwise import while it waits."""


class Running(Struct, frozen=True):
    """A running program: its address, its kubeconfig, and who answers for models."""

    url: str
    kubeconfig: Path
    model_line: str
    port: int


class Program(Struct, frozen=True):
    """The inside of a running program, for tests and benchmarks."""

    running: Running
    api: Api
    current: Callable[[], ControlLoops]
    hand_over: Callable[[], Awaitable[None]] | None = None
    """How a replica stops: it gives its work to the others, and waits as long as its own settings say."""

    @property
    def loops(self) -> ControlLoops:
        """The current control loops. A replica that was cut off starts again with new ones."""
        return self.current()

    async def drain(self, seconds: float) -> list[str]:
        """Starts nothing more, and waits for work in progress. Returns what did not finish."""
        loops = self.loops
        with suppress(TimeoutError):
            await (self.hand_over() if self.hand_over else loops.drain(seconds))
        return loops.in_hand()


class Ending:
    """Tells a program to stop. `told` is set once; `grace`: seconds for the work in progress.

    `waiting` is called with that work, if there is any.
    """

    def __init__(self, grace: Callable[[], float], waiting: Callable[[list[str], float], None]) -> None:
        self.told = asyncio.Event()
        self.serving = False
        self.grace, self.waiting = grace, waiting


async def run(
    program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None], ending: Ending
) -> list[str]:
    """Serves until told to stop.

    Returns what did not finish within the grace. `ready` is called once everything answers.
    """
    async with program as running:
        ready(running.running)
        ending.serving = True
        await asyncio.to_thread(import_module, FIRST_CALL)
        await ending.told.wait()
        grace = ending.grace()
        if in_hand := running.loops.in_hand():
            ending.waiting(in_hand, grace)
        return await running.drain(grace)
