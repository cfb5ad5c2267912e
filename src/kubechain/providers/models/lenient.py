"""Repairs JSON that a strict reader refuses: lone surrogates, and endlessly nested arguments.

chat/reply.py and anthropic/reply.py call it, only where reading failed, so that it costs nothing on the way that
is mostly taken. Pure.

A half surrogate (`\\ud83d` alone, half an emoji) has no place in UTF-8. It is kept as U+FDD0, a code point that
stands for no character, and four hexadecimal digits. Once all pieces of a stream are joined, two halves that found
each other become their character, and one that stays alone becomes U+FFFD.
"""

from __future__ import annotations

import re

import msgspec

DEEPEST = 200
"""Levels below a tool call's arguments; beyond it they are kept as text, which no tool takes."""
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|.)", re.DOTALL)
_HALF = re.compile("\ufdd0(d[89ab][0-9a-f]{2})\ufdd0(d[c-f][0-9a-f]{2})|\ufdd0d[89a-f][0-9a-f]{2}")
_HALF_ESCAPED = re.compile(r"\\ufdd0d[89a-f][0-9a-f]{2}")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def mended(body: bytes, level: int) -> bytes:
    """The body with half surrogates marked, and values at `level` that nest without end as text."""
    text = body.decode("utf-8-sig", "replace").encode()
    return _shallow(_ESCAPE.sub(_marked, text), level)


def _marked(escape: re.Match[bytes]) -> bytes:
    first, second = escape[1], escape[2]
    if first is None or first[:1] not in b"dD" or first[1:2] in b"01234567":
        return escape[0]
    if second is not None and first[1:2] in b"89abAB":
        return escape[0]
    rest = _ESCAPE.sub(_marked, b"\\u" + second) if second is not None else b""
    return b"\\ufdd0" + first.lower() + rest


def joined(text: str) -> str:
    """Text in which marked halves are characters again, or U+FFFD."""
    return _HALF.sub(_character, text) if "\ufdd0" in text else text


def joined_json(document: str) -> str:
    """The same for a JSON document, in which the mark may be escaped."""
    return (
        joined(_HALF_ESCAPED.sub(r"\\ufffd", document))
        if "ufdd0" in document or "\ufdd0" in document
        else document
    )


def _character(half: re.Match[str]) -> str:
    if half[1] is None:
        return "\ufffd"
    return (chr(int(half[1], 16)) + chr(int(half[2], 16))).encode("utf-16", "surrogatepass").decode("utf-16")


def arguments(text: str) -> str:
    """Arguments of a tool call in which every escape can be read."""
    text = joined(text)
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _HALVES_ESCAPED.sub(lambda found: "\\ufffd" if found[1] else found[0], text)


_HALVES_ESCAPED = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def _shallow(body: bytes, top: int) -> bytes:
    """Objects that begin at level `top` and nest deeper than DEEPEST become their own text."""
    pieces: list[bytes] = []
    level = deepest = begin = done = 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            level += 1
            if level == top:
                begin, deepest = token.start(), 0
            deepest = max(deepest, level)
        elif token[0] in b"]}":
            level -= 1
            if level == top - 1 and deepest > DEEPEST:
                pieces += [body[done:begin], msgspec.json.encode(body[begin : token.end()].decode())]
                done = token.end()
    return b"".join([*pieces, body[done:]])
