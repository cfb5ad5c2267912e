"""What the program and its tool host say to each other, over one unix socket that carries descriptors as well.

`starter` has the program's end, `host` the other. A message is a JSON document behind its length (4 bytes); the
descriptors of a `Begin` (stdin, stdout, stderr of the process) come with its first byte. It interprets nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from kubechain.agents.ports.tool import Held
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds

MAX_BYTES = 16 * 1024 * 1024
_LENGTH = 4
_READ_BYTES = 64 * 1024
_MOST_DESCRIPTORS = 64
STREAMS = 3
"""The descriptors that come with a `Begin`."""


class Begin(Struct, frozen=True, tag=True):
    """Start this command. `id` is unique on this channel."""

    id: int
    program: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    locale: bool
    folder: str = "/"
    bounds: Bounds = NO_BOUNDS


class Finish(Struct, frozen=True, tag=True):
    """End it: give it `grace` seconds to end by itself, then ask it, then kill all that it started."""

    id: int
    grace: float


class Began(Struct, frozen=True, tag=True):
    """It runs. `held`: who holds it to its bounds."""

    id: int
    held: Held | None = None


class Refused(Struct, frozen=True, tag=True):
    """It cannot be started. `missing`: what is not there; `number`, `message`: of the OSError."""

    id: int
    missing: Literal["", "Program", "Folder"]
    number: int
    message: str


class Ended(Struct, frozen=True, tag=True):
    """It and all that it started are gone. `code` as in `ToolProcess.returncode`."""

    id: int
    code: int
    by_itself: bool
    over_memory: bool = False


Message = Begin | Finish | Began | Refused | Ended
_decoder = msgspec.json.Decoder(Message)


class Channel:
    """One end. `heard` gets each message, with the descriptors that came with it; `lost` is called once, last."""

    def __init__(
        self, end: socket.socket, heard: Callable[[Message, list[int]], None], lost: Callable[[], None]
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._heard = heard
        self._lost = lost
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._read = b""
        self._descriptors: deque[int] = deque()
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._loop.add_reader(end, self._readable)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends a message. The descriptors are closed here, once they are on their way or never will be."""
        body = msgspec.json.encode(message)
        self._unsent.append((len(body).to_bytes(_LENGTH) + body, descriptors))
        if not self._open:
            self._drop()
        elif len(self._unsent) == 1:
            self._writable()

    def close(self) -> None:
        """Says nothing more. What was not sent is dropped."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        self._drop()
        self._lost()

    def _drop(self) -> None:
        for number in (*self._descriptors, *(n for _, numbers in self._unsent for n in numbers)):
            os.close(number)
        self._descriptors.clear()
        self._unsent.clear()

    def _writable(self) -> None:
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                sent = socket.send_fds(self._end, [data], descriptors) if descriptors else self._end.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._end, self._writable)
                return
            except OSError:
                self.close()
                return
            for number in descriptors:
                os.close(number)
            self._unsent[0] = (data[sent:], ())
            if sent == len(data):
                self._unsent.popleft()
        self._loop.remove_writer(self._end)

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._end, _READ_BYTES, _MOST_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        if not data:
            self.close()
            return
        self._read += data
        try:
            self._hear()
        except (msgspec.DecodeError, OverflowError):
            self.close()

    def _hear(self) -> None:
        """Hands out whole messages. Raises OverflowError, msgspec.DecodeError."""
        while len(self._read) >= _LENGTH and self._open:
            size = int.from_bytes(self._read[:_LENGTH])
            if size > MAX_BYTES:
                raise OverflowError(size)
            if len(self._read) < _LENGTH + size:
                return
            message: Message = _decoder.decode(self._read[_LENGTH : _LENGTH + size])
            self._read = self._read[_LENGTH + size :]
            count = STREAMS if isinstance(message, Begin) else 0
            if len(self._descriptors) < count:
                raise OverflowError(count)
            self._heard(message, [self._descriptors.popleft() for _ in range(count)])
