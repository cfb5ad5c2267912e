"""Reading objects of any kind as plain JSON: typed access to a path, and the way kubectl names an object.

Used by every command that shows or waits for an object. Knows no kind and does no I/O.
"""

from __future__ import annotations

import json
import re

from kubechain.resources.json import JsonObject, JsonValue, lookup

_ENDS = {"TaskRun": ("FinalAnswer", "Failed"), "ToolCall": ("Succeeded", "Failed")}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def text(obj: JsonValue, path: str) -> str:
    """The scalar at a dotted path, as text; "" where there is none."""
    value = lookup(obj, path)
    return "" if value is None or isinstance(value, (dict, list)) else scalar(value)


def members(obj: JsonValue, path: str) -> list[JsonObject]:
    """The objects in the list at a dotted path; [] where there is none."""
    value = lookup(obj, path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(obj: JsonValue, path: str) -> JsonObject:
    """The object at a dotted path; {} where there is none."""
    value = lookup(obj, path)
    return value if isinstance(value, dict) else {}


def scalar(value: JsonValue) -> str:
    """A value the way kubectl prints it: `true`, `3`, text as it is, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def finished(obj: JsonValue) -> bool:
    """Whether a TaskRun or a ToolCall has ended: its status does not change any more."""
    return text(obj, "status.phase") in _ENDS.get(text(obj, "kind"), ())


def qualified(obj: JsonValue) -> str:
    """`taskrun.kubechain.humanlayer.dev/hello-world-run`, as `-o name` prints it; core kinds without a group."""
    group = text(obj, "apiVersion").rpartition("/")[0]
    kind = text(obj, "kind").lower()
    return f"{kind}.{group}/{text(obj, 'metadata.name')}" if group else f"{kind}/{text(obj, 'metadata.name')}"


def printable(words: str) -> str:
    """Text without the control characters that would let an object's content steer the terminal."""
    return _CONTROL.sub(lambda found: escaped(found.group()), words)


def escaped(character: str) -> str:
    """A control character made visible: ESC as `^[`."""
    code = ord(character)
    return f"^{chr(code + 64)}" if code < 32 else f"\\x{code:02x}"
