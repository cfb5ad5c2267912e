"""A running program, as the composition roots give it to the CLI, to tests and to benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
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

    @property
    def loops(self) -> ControlLoops:
        """The control loops of this moment: a replica that was cut off begins anew with others."""
        return self.current()


async def run(program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None]) -> None:
    """Serves until cancelled; `ready` is called once everything answers."""
    async with program as running:
        ready(running.running)
        await asyncio.to_thread(import_module, FIRST_CALL)
        await asyncio.get_running_loop().create_future()
