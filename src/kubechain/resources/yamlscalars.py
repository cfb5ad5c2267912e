"""What a scalar of YAML means to Kubernetes: times and 12:30 stay text, `on` and `y` are booleans.

Called by `yamltext`. Imports no YAML library. Pure.
"""

from __future__ import annotations

import math
import re

from kubechain.resources.json import JsonValue

_PLAIN = re.compile(
    r"(?P<null>~|null|Null|NULL|)"
    r"|(?P<bool>y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)"
    r"|(?P<int>[-+]?(?:0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+))"
    r"|(?P<float>[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?)"
)
_FIRST = frozenset("~nNyYtTfFoO-+.0123456789")
_TRUE = frozenset({"y", "yes", "true", "on"})
_UNSIGNED = range(-(1 << 63), 1 << 64)
_BASES = {"0b": 2, "0o": 8, "0x": 16}
_TAG = "tag:yaml.org,2002:"


class NotYaml(ValueError):
    """A text is not YAML of plain data within bounds; the message says where, and what is wrong."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(f"yaml: line {line}: {problem}" if line else f"yaml: {problem}")


def value_of(text: str, *, finite: bool = True) -> JsonValue:
    """The value of a plain scalar. Raises ValueError for a number that JSON cannot hold, unless not `finite`."""
    if text and text[0] not in _FIRST:
        return text
    found = _PLAIN.fullmatch(text)
    match found and found.lastgroup:
        case "null":
            return None
        case "bool":
            return text.lower() in _TRUE
        case "int":
            return _integer(text.replace("_", ""), finite)
        case "float":
            return _float(text.replace("_", ""), finite)
    return text


def tagged(text: str, tag: str) -> JsonValue:
    """The value of a scalar with an explicit tag. Raises ValueError."""
    kind = tag.removeprefix(_TAG)
    value = text if kind == "str" else value_of(text)
    match kind, value:
        case ("str", _) | ("null", None) | ("bool", bool()):
            return value
        case "int", int() if not isinstance(value, bool):
            return value
        case "float", float() | int() as number if not isinstance(value, bool):
            return float(number)
        case (("null" | "bool" | "int" | "float"), _):
            raise ValueError(f"cannot decode !!str `{text[:30]}` as a !!{kind}")
    raise ValueError(f"a value with the tag {tag} has no place in an object")


def key_of(key: JsonValue) -> str:
    """A mapping's key as the text that it is in JSON. Raises ValueError."""
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int() | float():
            return str(key)
    raise ValueError(f"a key of a map is a text, a number or a boolean, not {_word(key)}")


def _word(key: JsonValue) -> str:
    return "null" if key is None else "a list" if isinstance(key, list) else "a map"


def _integer(text: str, finite: bool) -> int | float:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    base = _BASES.get(digits[:2], 8 if digits.startswith("0") and len(digits) > 1 else 10)
    digits = digits[2:] if digits[:2] in _BASES else digits
    if not digits:
        raise ValueError(f"{text!r} has no digits")
    if len(digits) <= 64 and (number := sign * int(digits, base)) in _UNSIGNED:
        return number
    if base != 10:
        raise ValueError(f"the number {text[:30]} is out of range")
    return _float(text, finite)


def _float(text: str, finite: bool) -> float:
    number = float(text)
    if finite and not math.isfinite(number):
        raise ValueError(f"the number {text[:30]} is out of range")
    return number
