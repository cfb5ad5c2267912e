"""What makes a world the same every time: a loop whose time is not real, a store without a thread, seeded ids.

`in_world` runs a coroutine under it. The store's own writer code runs, at once and in this thread, and its answers
come after a time that the seed says; nothing in a world waits for the machine.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextvars import Context
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")
STEPS = 400_000
"""Turns of the event loop after which a world is said to be spinning."""


class Spinning(AssertionError):
    """The world does not come to rest."""


class _Jump(selectors.DefaultSelector):
    """Never waits: when nothing is ready, time jumps to the next timer."""

    loop: WorldLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.count()
        ready = super().select(0) if len(self.get_map()) > 1 else []
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise AssertionError("deadlock: nothing is ready and no timer is set")
        self.loop.elapsed += timeout
        return ready


class _Numbered(asyncio.Task[Any]):
    """A task that is found in the same place of every set in every run: its hash is its number."""

    def __init__(self, coro: Any, *, loop: WorldLoop, **options: Any) -> None:
        loop.tasks += 1
        self._number = loop.tasks
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class WorldLoop(asyncio.SelectorEventLoop):
    """`commit` says how long the store's next commit takes, in seconds."""

    def __init__(self, commit: Callable[[], float]) -> None:
        self.elapsed = 0.0
        self.steps = 0
        self.tasks = 0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self._commit = commit
        self.set_task_factory(lambda loop, coro, **options: _Numbered(coro, loop=self, **options))

    def time(self) -> float:
        return 1000.0 + self.elapsed

    def count(self) -> None:
        self.steps += 1
        if self.steps == STEPS:
            raise Spinning(f"more than {STEPS:,} turns of the event loop, {self.elapsed:.0f} s into the world")

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """The store's writer says that it is done; there is no other thread."""
        return self.call_later(self._commit(), callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        done.set_result(func(*args))
        return done


class Inline(Executor):
    """Stands in for the thread in which the store commits: does at once what it is given."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **named))
        return done


def in_world(seed: int, story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs it to its end; every source of chance that the program uses is drawn from the seed."""
    before = random.getstate()
    random.seed(seed)
    commits, ids = random.Random(f"{seed}/commits"), random.Random(f"{seed}/ids")
    try:
        with (
            patch("time.monotonic", lambda: 0.0),
            patch("os.urandom", ids.randbytes),
            asyncio.Runner(loop_factory=lambda: WorldLoop(lambda: commits.choice((0.0, 0.001, 0.01)))) as runner,
        ):
            return runner.run(story())
    finally:
        random.setstate(before)
