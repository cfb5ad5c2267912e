"""Judges the arguments of a call by the JSON Schema of its tool, before anything is started.

The decision about a call and the controllers of tools use it. Drafts 4 to 2020-12, formats on. A schema is
compiled once; nothing that it refers to is fetched. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Raw, json

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

BACKTRACKS = 100_000
"""Steps that a regular expression of a schema may go back before its value is refused."""
SHOWN = 3
_LONGEST = 200
_ANYTHING = frozenset({b"", b"{}", b'{"type":"object"}', b"true"})


def problem(arguments: str, parameters: Raw) -> str | None:
    """What the model is told when the arguments do not fit, in one line; None when they do.

    A schema that does not compile is not applied: the object that has it says so.
    """
    if (value := decoded(arguments)) is None or isinstance(value, str):
        return value
    document = bytes(parameters)
    if document in _ANYTHING:
        return None
    schema = _compiled(document)
    if isinstance(schema, str) or schema.is_valid(value):
        return None
    found = "; ".join(_told(error) for error in islice(schema.iter_errors(value), SHOWN))
    return f"the arguments do not fit the tool's parameters: {found}. Correct them and call again"


def decoded(arguments: str) -> dict[str, object] | str:
    """The JSON object that a model wrote, or what is wrong with it; nothing at all is an empty one."""
    if not arguments.strip():
        return {}
    try:
        value = json.decode(arguments.encode())
    except RecursionError:
        return "the arguments are nested too deeply; send one JSON object"
    except ValueError as error:
        return f"the arguments are not valid JSON ({error}); send one JSON object"
    return value if isinstance(value, dict) else "the arguments are not a JSON object; send one JSON object"


def unusable(parameters: Raw) -> str | None:
    """Why a schema cannot be used to judge arguments, in one line; None when it can."""
    schema = _compiled(bytes(parameters))
    return schema if isinstance(schema, str) else None


@lru_cache(maxsize=1024)
def _compiled(document: bytes) -> Validator | str:
    """The validator of a schema, or why there is none."""
    import jsonschema_rs  # where it is needed: a program without tools does not load it

    patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS)
    try:
        schema = json.decode(document)
        jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=patterns
        )  # its errors show what is wrong
        return jsonschema_rs.validator_for(
            schema, validate_formats=True, offline=True, mask="the value", pattern_options=patterns
        )
    except jsonschema_rs.ValidationError as error:
        return _line(f"{_place(error.instance_path)}{error.message}")
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
        return _line(str(error))


def _told(error: ValidationError) -> str:
    """Where a value does not fit and what is asked for, without the value."""
    if branches := getattr(error.kind, "context", None):
        nearest = max(branches, key=_depth)
        inner = "; ".join(_line(f"{_place(e.instance_path)}{e.message}") for e in nearest[:SHOWN])
        if inner:
            return f"{_place(error.instance_path)}none of the alternatives fits, the nearest because {inner}"
    return _line(f"{_place(error.instance_path)}{error.message}")


def _depth(errors: Sequence[ValidationError]) -> tuple[int, int]:
    """How far into the value the errors of an alternative are: the deeper, the nearer it is to fitting."""
    return max((len(error.instance_path) for error in errors), default=0), -len(errors)


def _place(path: Iterable[str | int]) -> str:
    """`items[1].name: `; nothing for the arguments as a whole."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{text}: " if text else ""


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
