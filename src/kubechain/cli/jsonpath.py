"""The part of kubectl's JSONPath that people use: `{.status.phase}`, `{.items[*].metadata.name}`, `[0]`.

Used by `get -o jsonpath=` and `wait --for=jsonpath=`. No ranges: those say so and point to kubectl.
"""

from __future__ import annotations

import re

from kubechain.cli.exits import CommandError
from kubechain.cli.objects import scalar
from kubechain.resources.json import JsonValue
from kubechain.resources.jsonpath import NotJsonPath, compile_path

_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\\": "\\"}


def select(obj: JsonValue, expression: str) -> list[JsonValue]:
    """The values at one path, with or without its braces; [] where there is none. Raises CommandError."""
    path = expression.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    try:
        return compile_path(path)(obj)
    except NotJsonPath as error:
        raise CommandError(
            f"jsonpath {expression!r} cannot be read at {error.rest!r}: paths such as {{.status.phase}} and "
            "{.items[*].metadata.name} work here, kubectl knows the rest"
        ) from None


def render(obj: JsonValue, template: str) -> str:
    """A template's text, with each `{path}` and `{"text"}` in it replaced; several values with spaces between."""
    return re.sub(r"\{([^}]*)\}", lambda found: _part(obj, found.group(1).strip()), template)


def _part(obj: JsonValue, inside: str) -> str:
    if inside[:1] in ('"', "'"):
        return re.sub(r"\\.", lambda found: _ESCAPES.get(found.group(), found.group()), inside[1:-1])
    return " ".join(scalar(value) for value in select(obj, inside))
