"""The process that serves: the event loop around the composition root.

Imported by `up` and `operator` in the process that serves, and by nothing else: this import is the whole program.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from kubechain import __version__
from kubechain.app.embedded import embedded
from kubechain.app.program import Ending, Program, Running, run
from kubechain.app.settings import EmbeddedSettings
from kubechain.cli.instance import Instance
from kubechain.cli.options import complain
from kubechain.errors import KubechainError

if TYPE_CHECKING:
    from kubechain.app.operator import OperatorSettings

SHOWN = 5
"""Runs that are named to people; the log has room for no more."""
COLLECTED = 20_000
"""New objects after which the garbage collector looks for cycles. Python's default of 700 is less than what a few
dozen requests in progress consist of: the collector would look at them again and again, for a tenth of the CPU."""


Grace = Callable[[], float]
Tell = Callable[[str], None]


def serve(settings: EmbeddedSettings, ready: Callable[[Instance], None], grace: Grace) -> list[str]:
    """Serves until Ctrl-C or SIGTERM, then waits `grace()` seconds for work in progress. Returns what remains.

    `ready` is called once, when requests are answered. A second signal ends it at once.
    """

    def running(now: Running) -> None:
        ready(Instance(os.getpid(), __version__, now.url, str(now.kubeconfig), now.model_line))

    return _run(embedded(settings), running, grace, complain)


def operate(settings: OperatorSettings, ready: Callable[[Running], None], drain: float, tell: Tell) -> list[str]:
    """Runs the controllers over a cluster until Ctrl-C or SIGTERM. Returns what did not finish within `drain`.

    `ready` is called once, when they run.
    """
    from kubechain.app.operator import operator  # `up` is spared it

    return _run(operator(settings), ready, lambda: drain, tell)


def _run(
    program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None], grace: Grace, tell: Tell
) -> list[str]:
    stopped = (KeyboardInterrupt, asyncio.CancelledError)
    gc.set_threshold(COLLECTED, 10, 10)
    try:
        with suppress(*stopped), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_until_told(program, ready, Ending(grace, partial(_waiting, tell))))
    except BaseExceptionGroup as group:
        raise the_cause(group) from None
    return []


def the_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error of a task group, if it can be shown in one line: one of ours, or of the operating system."""
    found: BaseException | None = group.subgroup(KubechainError) or group.subgroup(OSError)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found or group


async def _until_told(
    program: AbstractAsyncContextManager[Program], ready: Callable[[Running], None], ending: Ending
) -> list[str]:
    """The first Ctrl-C or SIGTERM is an orderly end; a second one, or one during the start, ends it at once."""
    task = asyncio.current_task()

    def end() -> None:
        if ending.serving and not ending.told.is_set():
            ending.told.set()
        elif task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    return await run(program, ready, ending)


def _waiting(tell: Tell, in_hand: list[str], seconds: float) -> None:
    tell(
        f"Stopping. Waiting up to {seconds:g}s for {len(in_hand)} of the runs to finish what they are doing: "
        f"{', '.join(in_hand[:SHOWN])}{', ...' if len(in_hand) > SHOWN else ''}"
    )
