"""A stream of bytes -> the server-sent events in it. Pure.

The exchanges over HTTP call it. Lines end with LF, CR LF or CR; an event ends with an empty line.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

LARGEST = 64 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(Struct, frozen=True):
    """`retry` in seconds, if this event says it."""

    data: bytes
    name: str = "message"
    retry: float | None = None


class Events:
    """Fed with pieces as they come. `last_id`: of the stream that this one continues."""

    def __init__(self, last_id: str = "") -> None:
        self._rest = bytearray()
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0
        self._name, self._id = "", last_id
        self._retry: float | None = None

    @property
    def last_id(self) -> str:
        """The id from which the stream can be resumed; "" if it has named none."""
        return self._id

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that the piece completes. Raises OverflowError for one that is too large."""
        self._rest += piece
        if not self._begun and len(self._rest) >= len(_BYTE_ORDER_MARK):
            self._begun = True
            if self._rest.startswith(_BYTE_ORDER_MARK):
                del self._rest[: len(_BYTE_ORDER_MARK)]
        if len(self._rest) + self._size > LARGEST:
            raise OverflowError
        if b"\n" not in piece and b"\r" not in piece:
            return
        *lines, rest = self._rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self._rest.endswith(b"\r"):  # its line feed may still come
            rest = lines.pop() + b"\r"
        self._rest = rest
        for line in lines:
            if line:
                self._field(bytes(line))
            elif (event := self._ended()) is not None:
                yield event

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._size += len(value)
            case b"event":
                self._name = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit():
                self._retry = int(value[:9]) / 1000
            case _:
                pass

    def _ended(self) -> Event | None:
        said = bool(self._data) or self._retry is not None
        event = Event(b"\n".join(self._data), self._name or "message", self._retry) if said else None
        self._data, self._size, self._name, self._retry = [], 0, "", None
        return event
