"""A stream of bytes -> the `data` of its server-sent events.

The adapters call it. Pure. Splits on b"\n" in bytes, since model text holds characters that text splitters
take for line ends (U+0085, U+2028). Each `data` line is one event, as model servers send them.
"""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 4 * 1024 * 1024
LONGEST_STREAM = 256 * 1024 * 1024


class EventStream:
    """Fed with pieces as they come; `feed` returns the data that the piece completed."""

    def __init__(self) -> None:
        self._rest = bytearray()
        """What has come of the line that is not complete yet."""
        self._total = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Raises OverflowError where a line or the stream grows past its bound."""
        self._total += len(piece)
        if self._total > LONGEST_STREAM or len(self._rest) > LONGEST_LINE:
            raise OverflowError("a stream or a line without end")
        self._rest += piece
        if b"\n" not in piece:
            return []
        *lines, rest = bytes(self._rest).removeprefix(BOM).split(b"\n")
        self._rest = bytearray(rest)
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]
