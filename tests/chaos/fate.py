"""When processes die. A life is one start of the program; it ends at an operation that the seed says.

Every injector crosses a `Life` before and after each effect. What a dead process had under way never returns. Some
processes do not die there but stand still, and wake up when another has long taken their place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fate:
    """`ends` are operations, counted over the whole world, at which the process that does them is stopped.

    The value is for how many seconds it stands still before it goes on; 0 is death.
    """

    ends: Mapping[int, float]
    operations: int = 0
    stopped: int = 0
    overlapping: set[int] = field(default_factory=set)
    """Lives that were not alone: of them, two may pay for the same reply."""
    on_the_way: set[asyncio.Task[None]] = field(default_factory=set)
    """Requests that have left a process which is dead by now."""
    diary: list[str] = field(default_factory=list)
    """What was done and what went wrong, line by line."""

    def note(self, what: str) -> None:
        self.diary.append(f"{asyncio.get_running_loop().time() - 1000.0:9.3f} {what}")


@dataclass
class Life:
    """One start of the program; `number` counts from 1. `gone`: it is to be followed by another."""

    number: int
    fate: Fate
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False
    wakes_at: float = 0.0

    async def cross(self, operation: str) -> None:
        """Passes, or never returns because the process is dead, perhaps from this very moment."""
        fate, loop = self.fate, asyncio.get_running_loop()
        if not self.over:
            fate.operations += 1
            fate.note(f"{fate.operations:4} life {self.number}: {operation}")
            if fate.operations in fate.ends and not self.gone.is_set():
                self._stop(fate.ends[fate.operations], loop.time())
        if not self.over and loop.time() < self.wakes_at:
            await asyncio.sleep(self.wakes_at - loop.time())
        if self.over:
            await loop.create_future()

    def _stop(self, seconds: float, now: float) -> None:
        self.fate.stopped += 1
        self.fate.note(f"stands still for {seconds:g} s" if seconds else "killed")
        self.gone.set()
        if seconds:
            self.wakes_at = now + seconds
            self.fate.overlapping.update(range(self.number, self.number + len(self.fate.ends) + 1))
        else:
            self.over = True
