"""An event loop whose clock jumps to the next timer instead of waiting for it. Used by the runtime's tests."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Jump(selectors.SelectSelector):
    """Never waits: reports how long the loop was ready to wait."""

    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("deadlock: nothing is ready and no timer is set")
        if timeout > 0:
            self.jump(timeout)
        return super().select(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 1000 s and moves only when there is nothing else to do."""

    def __init__(self) -> None:
        selector = _Jump()
        super().__init__(selector)
        self.elapsed = 0.0
        selector.jump = self._jump

    def _jump(self, seconds: float) -> None:
        self.elapsed += seconds

    def time(self) -> float:
        return 1000.0 + self.elapsed if hasattr(self, "elapsed") else 1000.0


def on_fake_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test to its end on a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def settle() -> None:
    """Returns once everything that can happen without time passing has happened."""
    for _ in range(50):
        await asyncio.sleep(0)


async def within(seconds: float, happens: Awaitable[object]) -> None:
    """Waits for something, at most so many fake seconds."""
    async with asyncio.timeout(seconds):
        await happens
