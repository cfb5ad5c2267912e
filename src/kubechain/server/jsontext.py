"""JSON bodies -> values, as a Kubernetes API server reads them: bounded in depth, broken characters replaced.

Called by `strict` and `bodies`. Members that come twice are reported, with the path of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from kubechain.resources.json import MAX_DEPTH, JsonValue, exceeds
from kubechain.server.syntax import first_fault

TOO_DEEP = f"exceeded max depth of {MAX_DEPTH}"
MAX_REPEATED = 100
"""Members that come twice and are named; a body can hold a hundred thousand of them."""
MAX_PATH = 1000
"""Characters of each."""
_LONE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape of a string: a pair of surrogates, half of one (the group), any other."""


class NotJson(ValueError):
    """A body is not JSON; `fault` says why, as Go says it."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"couldn't get version/kind; json parse error: {fault}")
        self.fault = fault


def parse(body: bytes, repeated: list[str]) -> JsonValue:
    """JSON -> value; members that come twice are reported as `duplicate field "..."`. Raises NotJson."""
    try:
        text, value = _decoded(body)
        if text.count(b"[") + text.count(b"{") > MAX_DEPTH and exceeds(value):
            raise NotJson(TOO_DEEP)
        if b'"' in text and _has_duplicates(text):
            found = dict.fromkeys(_duplicates(json.loads(text, object_pairs_hook=_Pairs), ()))
            repeated.extend(f'duplicate field "{_joined(path)}"' for path in islice(found, MAX_REPEATED))
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    return value


def _joined(path: tuple[str, ...]) -> str:
    return "".join(path).removeprefix(".")[:MAX_PATH]


def _decoded(body: bytes) -> tuple[bytes, JsonValue]:
    """The text and its value; what is no character becomes U+FFFD, as Go has it. Raises NotJson."""
    try:
        return body, msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        first = error
    mended = _mended(body)
    try:
        return mended, msgspec.json.decode(mended)
    except msgspec.ValidationError:
        raise NotJson(f"json: cannot unmarshal number: {str(first).lower()}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotJson(first_fault(mended)) from None


def _mended(body: bytes) -> bytes:
    text = body.decode(errors="replace").encode()
    return _LONE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with nothing lost."""


def _has_duplicates(text: bytes) -> bool:
    found = False

    def count(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in pairs}) != len(pairs)

    json.loads(text, object_pairs_hook=count)
    return found


def _duplicates(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, member in value:
            if name in seen:
                yield (*path, f".{name}")
            seen.add(name)
            if isinstance(member, list):
                yield from _duplicates(member, (*path, f".{name}"))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            if isinstance(item, list):
                yield from _duplicates(item, (*path, f"[{i}]"))
