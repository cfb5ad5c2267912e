"""Assigns what functions print to their calls: `sys.stdout` and `sys.stderr` of the tool process.

`function_server` puts two of them in place. What is printed while a call runs, in its thread or its coroutine,
goes over the socket of the tool process with the number of the call; anything else (threads of the function's own,
C code, `os.write`) goes to the pipe as usual. A flood of output is cut off, so that it does not delay the
function.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

MOST_CHARACTERS = 8 * 1024
"""Of a line that are kept."""
MOST_LINES = 100
"""Of a call per second that are kept."""

_current: ContextVar[Printer | None] = ContextVar("printer", default=None)


class Printer:
    """The output of one call. `say` sends a whole line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""
        self._second = 0
        self._said = 0

    def write(self, text: str) -> None:
        """Sends complete lines and keeps the rest."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._line(self._rest + line)
            self._rest = ""
        self._rest = (self._rest + rest)[:MOST_CHARACTERS]

    def flush(self) -> None:
        """Sends the rest."""
        if self._rest:
            self._line(self._rest)
            self._rest = ""

    def _line(self, line: str) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        if line.strip() and self._said <= MOST_LINES:
            self._say(line[:MOST_CHARACTERS])


@contextmanager
def printing(printer: Printer) -> Iterator[None]:
    """Assigns what is printed in the block to this call."""
    token = _current.set(printer)
    try:
        yield
    finally:
        _current.reset(token)


class Attributed(io.TextIOBase):
    """A stream that passes what is written to the current call."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    def write(self, text: str, /) -> int:
        printer = _current.get()
        if printer is None:
            return self._real.write(text)
        printer.write(text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def fileno(self) -> int:
        return self._real.fileno()

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> io.BufferedIOBase:
        """The stream of bytes below. It is not assigned to calls."""
        return self._real.buffer  # type: ignore[return-value]

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._real.errors
