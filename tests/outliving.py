"""An async context that outlives the event loops of the tests: it lives in a thread with a loop of its own.

Fixtures of a session or a module use it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


@contextmanager
def outliving(make: Callable[[], AbstractAsyncContextManager[T]], seconds: float) -> Iterator[T]:
    """What the context gives, while the block lasts; entering and leaving it take at most `seconds` each."""
    living = _Living(make)
    living.start()
    try:
        yield living.entered(seconds)
    finally:
        living.leave(seconds)


class _Living(threading.Thread, Generic[T]):
    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        super().__init__(name="outliving", daemon=True)
        self._make = make
        self._settled = threading.Event()
        self._given: list[T] = []
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._enough: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self._error = error
        finally:
            self._settled.set()

    async def _live(self) -> None:
        self._loop, self._enough = asyncio.get_running_loop(), asyncio.Event()
        async with self._make() as given:
            self._given.append(given)
            self._settled.set()
            await self._enough.wait()

    def entered(self, seconds: float) -> T:
        self._settled.wait(seconds)
        if not self._given:
            raise RuntimeError("it did not start") from self._error
        return self._given[0]

    def leave(self, seconds: float) -> None:
        if self._loop is not None and self._enough is not None and self._error is None:
            self._loop.call_soon_threadsafe(self._enough.set)
        self.join(seconds)
