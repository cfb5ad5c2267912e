"""A pass in progress: its object, and what happened to that object since the pass began.

The worker makes one for each pass. Code that saves an object calls `wrote`. A change that the pass made itself
leads to no other pass, whether the watch shows it before or after the answer to the write. Every other change
does.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from kubechain.resources.model import Resource

R = TypeVar("R", bound=Resource)


class Pass(Generic[R]):
    """`dropped`: the object was deleted or is being deleted, so the result of the pass does not matter."""

    def __init__(self, obj: R) -> None:
        self.obj = obj
        self.dropped = False
        self._task: asyncio.Task[Any] | None = None
        self._seen: list[str] = []
        self._written: list[str] = []

    def begin(self) -> bool:
        """Called first in the task of the pass. Returns whether to continue."""
        self._task = asyncio.current_task()
        _CURRENT.set(self)
        return not self.dropped

    def changed(self, new: R) -> None:
        """The object was seen in another version."""
        if new.metadata.deletion_timestamp is not None and self.obj.metadata.deletion_timestamp is None:
            self.drop()
        self._seen.append(new.metadata.resource_version)

    def drop(self) -> None:
        """Cancels the pass, or prevents it from starting: a task that is cancelled before it starts would not
        clean up."""
        self.dropped = True
        if self._task is not None:
            self._task.cancel()

    def wrote(self, version: str) -> None:
        self._written.append(version)

    @property
    def outdated(self) -> bool:
        """Whether somebody else changed the object since the pass began."""
        return any(version not in self._written for version in self._seen)


_CURRENT: ContextVar[Pass[Any] | None] = ContextVar("pass in hand", default=None)


def wrote(obj: Resource) -> None:
    """Called after `obj` was written: if the pass in progress is over that object, this version leads to no
    other pass."""
    current = _CURRENT.get()
    if current is not None and current.obj.metadata.uid == obj.metadata.uid:
        current.wrote(obj.metadata.resource_version)
