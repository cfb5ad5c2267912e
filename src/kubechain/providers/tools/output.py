"""Reads what a tool process prints, writes it to the log, and keeps the last lines for error messages.

`function_process` and `mcp_session` own one per process. It never holds more than a few kilobytes, never lets a
flood of output stall the process or fill the log, and never shows a value of the process's environment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from kubechain.agents.call.redaction import redacted
from kubechain.logs import Logger

_READ_BYTES = 64 * 1024
_LINE_BYTES = 8 * 1024
_SHOWN_CHARACTERS = 1_000
_TAIL_LINES = 20
_TAIL_CHARACTERS = 2_000
_LINES_PER_SECOND = 100
_LOG = Logger("kubechain.tools")


class Output:
    """What one process prints, or one call in it; `owner` names the process in the log, `about` says more."""

    def __init__(self, owner: str, hidden: Sequence[str], **about: str) -> None:
        self._hidden = hidden
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._about = {"tool_process": owner, **about}
        self._second = 0
        self._logged = 0

    @property
    def tail(self) -> str:
        """The last lines printed, at most 2,000 characters, or "" when nothing was."""
        return "\n".join(self._lines)[-_TAIL_CHARACTERS:]

    async def pump(self, stream: asyncio.StreamReader) -> None:
        """Reads until the stream ends."""
        rest, skipping = b"", False
        while chunk := await stream.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not skipping:
                    self.take(line)
                skipping = False
            if len(rest) > _LINE_BYTES:
                # The rest of such a line is not read: a hidden value may lie across the cut.
                if not skipping:
                    self.take(rest)
                rest, skipping = b"", True
        if rest and not skipping:
            self.take(rest)

    def take(self, line: bytes) -> None:
        """One line that the process printed."""
        text = redacted(line[:_LINE_BYTES].decode("utf-8", "replace").rstrip(), self._hidden)[:_SHOWN_CHARACTERS]
        if not text:
            return
        self._lines.append(text)
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._logged = second, 0
        self._logged += 1
        if self._logged <= _LINES_PER_SECOND:
            _LOG.info("tool process output", **self._about, line=text)
