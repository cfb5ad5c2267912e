"""`PodProcess`: a process in a pod, whose streams come and go through the API server.

`starter` makes one when the pod runs. When it has ended, its pod is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from kubechain.agents.ports.tool import Held
from kubechain.errors import ApiError
from kubechain.logs import Logger
from kubechain.providers.tools.pods.port import STDERR, STDOUT, Streams
from kubechain.providers.tools.pods.state import Over

HELD = Held(enforced=True, reason="Pod", detail="The limits of its pod hold")
_UNSENT_BYTES = 1 << 20
"""What may wait to be sent before a writer waits."""
_CLOSE = b""
_READ_SECONDS = 1.0

_log = Logger("kubechain.tools")


class PodProcess:
    """A `ToolProcess`. `ending`, told whether it has ended by itself, deletes the pod and says how it ended.

    `limited`: whether its container has limits.
    """

    def __init__(self, streams: Streams, ending: Callable[[bool], Awaitable[Over]], *, limited: bool) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self._streams = streams
        self._ending = ending
        self._code: int | None = None
        self._why = ""
        self.held = HELD if limited else None
        self.over_memory = False
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = False
        self._hearing = asyncio.create_task(self._hear(), name="pod output")
        self._sending = asyncio.create_task(self._send(), name="pod input")

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal that killed it."""
        return self._code

    @property
    def why(self) -> str:
        """What the pod says about its end, as a clause, or ""."""
        return self._why

    def write(self, data: bytes) -> None:
        """Writes to its stdin. Does nothing if that is closed."""
        if not self._closed:
            self._unsent.put_nowait(data)
            self._waiting += len(data)
            if self._waiting > _UNSENT_BYTES:
                self._writable.clear()

    async def drained(self) -> None:
        """Waits until more can be written, or the process reads no more."""
        await self._writable.wait()

    def close_stdin(self) -> None:
        """Closes its stdin."""
        if not self._closed:
            self._closed = True
            self._unsent.put_nowait(_CLOSE)

    async def finish(self, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
        """As ToolProcess says. The pod is gone, or about to be, when this returns."""
        by_itself = False
        try:
            if grace:
                by_itself = bool((await asyncio.wait({self._hearing}, timeout=grace))[0])
        finally:
            try:
                over = await self._ending(by_itself)
                self._code, self._why, self.over_memory = over.code, over.why, over.over_memory
            except ApiError as error:
                _log.warning("a pod could not be deleted; the next start tries again", error=str(error))
            finally:
                self._hearing.cancel()
                self._sending.cancel()
                await asyncio.wait({self._hearing, self._sending})
                self.stdout.feed_eof()
                self.stderr.feed_eof()
                await self._streams.close()
            if readers:
                await asyncio.wait(readers, timeout=_READ_SECONDS)
        return by_itself

    async def _hear(self) -> None:
        """Takes what the process writes until it ends; then nothing more can be read or written."""
        try:
            while (heard := await self._streams.receive()) is not None:
                channel, data = heard
                if channel == STDOUT:
                    self.stdout.feed_data(data)
                elif channel == STDERR:
                    self.stderr.feed_data(data)
        finally:
            self.stdout.feed_eof()
            self._closed = True
            self._writable.set()

    async def _send(self) -> None:
        """Sends what is written, in order."""
        try:
            while data := await self._unsent.get():
                await self._streams.send(data)
                self._waiting -= len(data)
                if self._waiting <= _UNSENT_BYTES:
                    self._writable.set()
            await self._streams.close_stdin()
        except (ConnectionError, OSError):
            self._closed = True
        finally:
            self._writable.set()
