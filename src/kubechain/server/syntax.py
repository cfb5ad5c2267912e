"""The first fault in a text that is not JSON, told as Go tells it.

Called by `strict` after parsing has failed; never on a text that is JSON.
"""

from __future__ import annotations

import re

_SPACE = b" \t\r\n"
_NUMBER = tuple(
    (re.compile(begun), re.compile(whole))
    for begun, whole in (
        (rb"-", rb"-?(0|[1-9][0-9]*)"),
        (rb"\.", rb"\.[0-9]+"),
        (rb"[eE][+-]?", rb"[eE][+-]?[0-9]+"),
    )
)
"""The parts of a number: how each begins, and the whole of it."""
_END = "unexpected end of JSON input"


class _Fault(Exception):
    pass


def first_fault(text: bytes) -> str:
    """`invalid character 'x' looking for beginning of value`, and so on."""
    try:
        at = _value(text, 0)
        at = _skip(text, at)
        if at < len(text):
            raise _unexpected(text, at, "after top-level value")
    except _Fault as fault:
        return str(fault)
    except RecursionError:
        return "exceeded max depth"
    return "invalid UTF-8 in string"


def _unexpected(text: bytes, at: int, where: str) -> _Fault:
    if at >= len(text):
        return _Fault(_END)
    char = chr(text[at])
    shown = {"'": r"'\''", '"': "'\"'", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'"}.get(char)
    if shown is None:
        shown = f"'{char}'" if text[at] >= 0x20 else rf"'\x{text[at]:02x}'"
    return _Fault(f"invalid character {shown} {where}")


def _skip(text: bytes, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _value(text: bytes, at: int) -> int:
    """Just past the value that begins here; raises _Fault."""
    at = _skip(text, at)
    match text[at : at + 1]:
        case b"{":
            return _object(text, at + 1)
        case b"[":
            return _array(text, at + 1)
        case b'"':
            return _string(text, at + 1)
        case b"t" | b"f" | b"n" as first:
            return _literal(text, at, {b"t": b"true", b"f": b"false", b"n": b"null"}[first])
        case digit if digit and digit in b"-0123456789":
            return _number(text, at)
    raise _unexpected(text, at, "looking for beginning of value")


def _number(text: bytes, at: int) -> int:
    for begun, whole in _NUMBER:
        if found := whole.match(text, at):
            at = found.end()
        elif only := begun.match(text, at):
            raise _unexpected(text, only.end(), "in numeric literal")
    return at


def _object(text: bytes, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == b"}":
        return at + 1
    while True:
        at = _skip(text, at)
        if text[at : at + 1] != b'"':
            raise _unexpected(text, at, "looking for beginning of object key string")
        at = _skip(text, _string(text, at + 1))
        if text[at : at + 1] != b":":
            raise _unexpected(text, at, "after object key")
        at = _skip(text, _value(text, at + 1))
        if text[at : at + 1] == b"}":
            return at + 1
        if text[at : at + 1] != b",":
            raise _unexpected(text, at, "after object key:value pair")
        at += 1


def _array(text: bytes, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == b"]":
        return at + 1
    while True:
        at = _skip(text, _value(text, at))
        if text[at : at + 1] == b"]":
            return at + 1
        if text[at : at + 1] != b",":
            raise _unexpected(text, at, "after array element")
        at += 1


def _string(text: bytes, at: int) -> int:
    while True:
        char = text[at : at + 1]
        if char == b'"':
            return at + 1
        if not char or char < b" ":
            raise _unexpected(text, at, "in string literal")
        if char == b"\\":
            at += 1
            if text[at : at + 1] not in (b'"', b"\\", b"/", b"b", b"f", b"n", b"r", b"t", b"u"):
                raise _unexpected(text, at, "in string escape code")
        at += 1


def _literal(text: bytes, at: int, word: bytes) -> int:
    for offset, char in enumerate(word):
        if text[at + offset : at + offset + 1] != bytes([char]):
            where = f"in literal {word.decode()} (expecting '{chr(char)}')"
            raise _unexpected(text, at + offset, where)
    return at + len(word)
