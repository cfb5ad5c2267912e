"""The pipes of one MCP server's process, a message on each line.

`session` creates one for each process. Only a closed pipe, an endless line or a flood of other output ends the
wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio.abc
from anyio import TASK_STATUS_IGNORED
from mcp.shared.dispatcher import OnNotify, OnNotifyIntercept, OnRequest

from kubechain.providers.tools.mcp.exchange import Exchange, Going
from kubechain.providers.tools.mcp.messages import Lines, messages
from kubechain.providers.tools.starting import ToolProcess

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_GREETING_LINES = 1_000
MAX_NOISE_LINES = 20_000
NOISE_SECONDS = 10.0

CLOSED = "closed its output"

_READ_BYTES = 64 * 1024


class Noise:
    """How much of what a server writes is no message: a bound on a flood, not on a lifetime."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self._lines = 0
        self.talks = False
        """Whether it has ever written a message."""

    def excess(self) -> str:
        """Counts one more line; says what is too much."""
        if self.talks and self._clock() - self._begun > NOISE_SECONDS:
            self._begun, self._lines = self._clock(), 0
        self._lines += 1
        if not self.talks and self._lines > MAX_GREETING_LINES:
            return f"printed more than {MAX_GREETING_LINES:,} lines that are no MCP messages"
        if self._lines > MAX_NOISE_LINES:
            return f"printed more than {MAX_NOISE_LINES:,} lines that are no MCP messages in {NOISE_SECONDS:g} s"
        return ""


class Wire(Exchange):
    """What is said over the pipes. `ended`: why no more answers will come."""

    def __init__(self, process: ToolProcess, stray: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._process = process
        self._stray = stray
        self._noise = Noise(asyncio.get_running_loop().time)

    async def carry(self, going: Going) -> None:
        await self._process.drained()
        going.sent = True
        self.write(going.body)

    def abandon(self, going: Going) -> None:
        self.tell("notifications/cancelled", {"requestId": going.number, "reason": "nobody waits any more"})

    def write(self, message: bytes) -> None:
        if not self.ended.done():
            self._process.write(message + b"\n")

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Reads from the server until it closes its output."""
        task_status.started()
        try:
            self.ended.set_result(await self._hear(on_notify_intercept))
        finally:
            self.close()

    async def _hear(self, told: OnNotifyIntercept | None) -> str:
        lines = Lines(MAX_LINE_BYTES)
        while chunk := await self._process.stdout.read(_READ_BYTES):
            try:
                for line in lines.feed(chunk):
                    if excess := self._take(line, told):
                        return excess
            except OverflowError:
                return f"printed a line of over {MAX_LINE_BYTES >> 20} MiB"
        return CLOSED

    def _take(self, line: bytes, told: OnNotifyIntercept | None) -> str:
        """One line; what is too much, if it is."""
        found = messages(line)
        if not found:
            self._stray(line)
            return self._noise.excess()
        self._noise.talks = True
        for message in found:
            self.take(message, told)
        return ""
