"""The part of kubectl's JSONPath that people use: `{.status.phase}`, `{.items[*].metadata.name}`, `[0]`.

Used by `get -o jsonpath=` and `wait --for=jsonpath=`. No filters, no ranges: those say so and point to kubectl.
"""

from __future__ import annotations

import re

from kubechain.cli.exits import CommandError
from kubechain.cli.objects import scalar
from kubechain.resources.json import JsonValue

_STEP = re.compile(r"\.?\[(\*|-?\d+|'[^']*'|\"[^\"]*\")\]|\.([\w/-]+|\*)")
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\\": "\\"}


def select(obj: JsonValue, expression: str) -> list[JsonValue]:
    """The values at one path, with or without its braces; [] where there is none. Raises CommandError."""
    path = expression.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    values, at = [obj], 0
    path = path if path.startswith((".", "[")) or not path else f".{path}"
    while at < len(path) and path != ".":
        step = _STEP.match(path, at)
        if step is None:
            raise CommandError(
                f"jsonpath {expression!r} cannot be read at {path[at:]!r}: paths such as {{.status.phase}} and "
                "{.items[*].metadata.name} work here, kubectl knows the rest"
            )
        values = [found for value in values for found in _step(value, step.group(1) or step.group(2))]
        at = step.end()
    return values


def render(obj: JsonValue, template: str) -> str:
    """A template's text, with each `{path}` and `{"text"}` in it replaced; several values with spaces between."""
    return re.sub(r"\{([^}]*)\}", lambda found: _part(obj, found.group(1).strip()), template)


def _part(obj: JsonValue, inside: str) -> str:
    if inside[:1] in ('"', "'"):
        return re.sub(r"\\.", lambda found: _ESCAPES.get(found.group(), found.group()), inside[1:-1])
    return " ".join(scalar(value) for value in select(obj, inside))


def _step(value: JsonValue, name: str) -> list[JsonValue]:
    if name == "*":
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        return list(children)
    if isinstance(value, list) and name.lstrip("-").isdigit():
        index = int(name)
        return [value[index]] if -len(value) <= index < len(value) else []
    key = name[1:-1] if name[0] in "'\"" else name
    return [value[key]] if isinstance(value, dict) and key in value else []
