"""Takes the values of Secrets out of what a tool says, whatever its kind.

Every outcome of a ToolCall goes through it, and so does every error of a Tool or an MCPServer that is checked.
Tool processes use it for what they print. Pure, and quick to load.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

SHORTEST = 6
"""Characters of the shortest value that is hidden: a shorter one is part of too many other words."""
REDACTED = "[redacted]"


def hidden_values(env: Mapping[str, str], secret: Iterable[str]) -> tuple[str, ...]:
    """What must not be shown of the variables named in `secret`, longest first."""
    return _forms(tuple(env[name] for name in secret if env.get(name)))


@lru_cache(maxsize=256)
def _forms(values: tuple[str, ...]) -> tuple[str, ...]:
    """Each value, its lines, and how they look in JSON, in a URL and in base64."""
    pieces = {piece.strip() for value in values for piece in (value, *value.splitlines())}
    forms = {form for piece in pieces if len(piece) >= SHORTEST for form in _written(piece)}
    return tuple(sorted(forms, key=len, reverse=True))


def _written(value: str) -> Iterable[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield quote(value, safe="")
    yield base64.b64encode(value.encode()).decode().rstrip("=")


def redacted(text: str, hidden: Sequence[str]) -> str:
    """The text without any of the hidden values."""
    for value in hidden:
        text = text.replace(value, REDACTED)
    return text
