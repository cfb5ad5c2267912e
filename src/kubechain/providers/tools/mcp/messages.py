"""Reads what an MCP server writes, as leniently as possible without guessing: one line -> its messages.

The wire calls it. Pure. Servers write byte order marks, log lines that end in the middle of a message, half
characters, batches, errors that are plain text. A message that names a request is an answer to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec
from msgspec import Struct

from kubechain.resources.json import JsonObject, JsonValue

RequestId: TypeAlias = int | str

DEEPEST = 200
"""Levels of nesting that are read."""
UNREADABLE = -32700
"""JSON-RPC's code for what cannot be parsed."""

_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BEGIN = re.compile(rb'[\[{]\s*(?:\{\s*)?"(?:jsonrpc|id|result|error|method|params)"')
_ANSWER_TO = re.compile(
    rb'^\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(?:(\d{1,15})|"([^"\\]{1,100})")\s*,'
)


class Fault(Struct, frozen=True):
    """A JSON-RPC error."""

    code: int
    message: str
    data: JsonValue = None


class Answer(Struct, frozen=True):
    """An answer of the server; `id` is None if it does not name the request."""

    id: RequestId | None
    result: JsonValue | Fault


class Question(Struct, frozen=True):
    """A request of the server."""

    id: RequestId
    method: str


class Notice(Struct, frozen=True):
    """A notification of the server."""

    method: str
    params: JsonObject


Message: TypeAlias = Answer | Question | Notice


def messages(line: bytes) -> list[Message]:
    """The messages in a line, none where it is something else: a log line, a greeting."""
    line = line.removeprefix(_BYTE_ORDER_MARK).strip()
    found = _BEGIN.search(line)
    if found is None:
        return []
    line = line[found.start() :]
    try:
        document = parsed(line)
    except ValueError:
        return list(_broken(line))
    items = document if isinstance(document, list) else [document]
    return [message for item in items if isinstance(item, dict) and (message := _message(item)) is not None]


def parsed(document: bytes) -> JsonValue:
    """A JSON document; where it breaks the rules of text in JSON, what can be made of it. Raises ValueError.

    What is nested more than DEEPEST levels deep is null, so that it costs nothing that stands beside it.
    """
    value: JsonValue
    try:
        value = msgspec.json.decode(document)
    except RecursionError:
        value = _leniently(_flattened(document))
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            value = _leniently(document)
        except RecursionError:
            value = _leniently(_flattened(document))
    return value


def _leniently(document: bytes) -> JsonValue:
    """With control characters, half characters, bytes that are no UTF-8, NaN, and text after its end."""
    value: JsonValue
    value, _ = json.JSONDecoder(strict=False).raw_decode(document.decode("utf-8", "replace"))
    return value


def _flattened(document: bytes) -> bytes:
    """The document with null in place of what is nested too deeply."""
    pieces: list[bytes] = []
    depth, begin = 0, 0
    for found in _BRACKETS.finditer(document):
        if found[0] in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                pieces += [document[begin : found.start()], b"null"]
        elif found[0] in b"]}":
            if depth == DEEPEST + 1:
                begin = found.end()
            depth -= 1
    return b"".join(pieces) + (document[begin:] if depth <= DEEPEST else b"")


def _broken(line: bytes) -> Iterator[Message]:
    """A line that cannot be read, and begins as the answer to a request does."""
    if found := _ANSWER_TO.match(line):
        number, name = found.groups()
        to: RequestId = int(number) if number else name.decode("utf-8", "replace")
        yield Answer(to, Fault(UNREADABLE, "the server's answer is not valid JSON and cannot be read"))


def _message(item: JsonObject) -> Message | None:
    to, method = item.get("id"), item.get("method")
    name = to if isinstance(to, int | str) and not isinstance(to, bool) else None
    if isinstance(method, str):
        params = item.get("params")
        return Question(name, method) if name is not None else Notice(method, _object(params))
    if item.get("error") is not None:
        return Answer(name, _fault(item["error"]))
    return Answer(name, item["result"]) if "result" in item else None


def _fault(error: JsonValue) -> Fault:
    if not isinstance(error, dict):
        return Fault(0, error if isinstance(error, str) and error.strip() else json.dumps(error))
    code, message = error.get("code"), error.get("message")
    return Fault(
        code if isinstance(code, int) and not isinstance(code, bool) else 0,
        message if isinstance(message, str) and message.strip() else "the server gave an error without a message",
        error.get("data"),
    )


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


class Lines:
    """Bytes -> lines, split on LF and nothing else; a message spread over several lines is one of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._spread: list[bytes] = []
        self._depth = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes. Raises OverflowError for one that is too long."""
        first, *others = chunk.split(b"\n")
        self._pieces.append(first)
        self._size += len(first)
        for following in others:
            if line := b"".join(self._pieces).strip():
                yield from self._joined(line)
            self._pieces, self._size = [following], len(following)
        if self._size > self._most:
            raise OverflowError

    def _joined(self, line: bytes) -> Iterator[bytes]:
        """Keeps back the lines of a message that is not at its end; one that never ends gives way to the next."""
        if self._spread and _is_whole(line):
            yield from self._given_up()
        if not self._spread and not _is_open(line):
            yield line
            return
        self._spread.append(line)
        self._depth += _depth(line)
        if self._depth <= 0 or len(self._spread) > _MOST_SPREAD or len(line) > _LONG:
            yield from self._given_up()

    def _given_up(self) -> Iterator[bytes]:
        whole, self._spread, self._depth = b"\n".join(self._spread), [], 0
        yield whole


_MOST_SPREAD = 1_000
_LONG = 64 * 1024
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')


def _depth(line: bytes) -> int:
    """How many more brackets it opens than it closes."""
    bare = _STRINGS.sub(b"", line)
    return sum(map(bare.count, (b"{", b"["))) - sum(map(bare.count, (b"}", b"]")))


def _is_open(line: bytes) -> bool:
    return line[-1:] in b"{[," and (line in (b"{", b"[") or _BEGIN.match(line) is not None)


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"}") and _BEGIN.match(line) is not None
