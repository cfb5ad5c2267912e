"""The process that serves: the event loop around the composition root.

Imported by `up` and `operator` in the process that serves, and by nothing else: this import is the whole program.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

import uvloop

from kubechain import __version__
from kubechain.app.embedded import embedded
from kubechain.app.program import Program, Running, run
from kubechain.app.settings import EmbeddedSettings
from kubechain.cli.instance import Instance
from kubechain.errors import KubechainError

if TYPE_CHECKING:
    from kubechain.app.operator import OperatorSettings


def serve(settings: EmbeddedSettings, ready: Callable[[Instance], None]) -> None:
    """Serves until Ctrl-C or SIGTERM, both a clean end; `ready` is called once, when requests are answered."""

    def tell(now: Running) -> None:
        ready(Instance(os.getpid(), __version__, now.url, str(now.kubeconfig), now.model_line))

    _run(embedded(settings), tell)


def operate(settings: OperatorSettings, ready: Callable[[Running], None]) -> None:
    """Runs the controllers over a cluster until Ctrl-C or SIGTERM; `ready` is called once, when they run."""
    from kubechain.app.operator import operator  # `up` is spared it

    _run(operator(settings), ready)


def _run(program: AbstractAsyncContextManager[Program], tell: Callable[[Running], None]) -> None:
    stopped = (KeyboardInterrupt, asyncio.CancelledError)
    try:
        with suppress(*stopped), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(program, tell))
    except BaseExceptionGroup as group:
        raise the_cause(group) from None


def the_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a task group ended with, where it can be told in a line: one of ours, or the system's."""
    found: BaseException | None = group.subgroup(KubechainError) or group.subgroup(OSError)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found or group


async def _until_told(program: AbstractAsyncContextManager[Program], tell: Callable[[Running], None]) -> None:
    """Ctrl-C cancels by itself; SIGTERM is made to do the same."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run(program, tell)
