"""A Python function as a tool: docstring and type hints -> description, JSON Schema and argument checks.

Runs in the function worker, never in the controller: it needs the function itself.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from kubechain.resources.json import JsonObject, JsonValue

IDEMPOTENCY_KEY = "idempotency_key"

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|See Also|Attributes|Todo|Warnings?):\s*$"
)
_ENTRY = re.compile(r"^(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class UnfitFunction(TypeError):
    """The function's type hints cannot be told to a model."""


class UnfitArguments(ValueError):
    """The arguments do not fit; the text is for the model."""


class Signature(msgspec.Struct, frozen=True):
    """What models are told about a function, and what it is called with."""

    description: str
    parameters: Raw
    arguments: type[Struct]
    positional: frozenset[str]
    takes_key: bool

    def bind(self, document: str, key: str) -> tuple[list[object], dict[str, object]]:
        """The function's positional and keyword arguments for a JSON document. Raises UnfitArguments."""
        try:
            given = msgspec.json.decode(document or "{}", type=self.arguments)
        except msgspec.DecodeError as error:
            raise UnfitArguments(f"{error}. {self._expected()}") from error
        values = {n: v for n in self.arguments.__struct_fields__ if (v := getattr(given, n)) is not UNSET}
        positional = [values.pop(name) for name in list(values) if name in self.positional]
        if self.takes_key:
            values[IDEMPOTENCY_KEY] = key
        return positional, values

    def _expected(self) -> str:
        return f"The arguments are a JSON object that fits this schema: {bytes(self.parameters).decode()}"


def signature(function: Callable[..., object]) -> Signature:
    """Reads a function's docstring and type hints. Raises UnfitFunction."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UnfitFunction(f"its type hints cannot be read: {error}") from error
    description, notes = docstring(inspect.getdoc(function) or "")
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in _VARIADIC]
    offered = [p for p in parameters if p.name != IDEMPOTENCY_KEY]
    fields = [_field(p, hints.get(p.name), notes.get(p.name, "")) for p in offered]
    try:
        arguments = msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True, kw_only=True)
        schema = _schema(arguments, offered)
    except TypeError as error:
        raise UnfitFunction(f"its parameters have no JSON form: {error}") from error
    return Signature(
        description=description,
        parameters=Raw(msgspec.json.encode(schema)),
        arguments=arguments,
        positional=frozenset(p.name for p in offered if p.kind is p.POSITIONAL_ONLY),
        takes_key=len(parameters) > len(offered),
    )


def docstring(text: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring -> what stands before its first section, and the `Args:` by name."""
    section, about, arguments = "", [], []
    for line in text.splitlines():
        if header := _SECTION.match(line):
            section = header.group(1)
        elif not section:
            about.append(line)
        elif section in ("Args", "Arguments", "Parameters"):
            arguments.append(line)
    return "\n".join(about).strip(), _entries(arguments)


def _entries(lines: list[str]) -> dict[str, str]:
    """`  name (type): text` and its continuation lines, which stand further in."""
    found: dict[str, list[str]] = {}
    depth, current = -1, ""
    for line in lines:
        entry = _ENTRY.match(line)
        if entry and (depth < 0 or len(entry.group(1)) <= depth):
            depth, current = len(entry.group(1)), entry.group(2)
            found[current] = [entry.group(3)]
        elif current and line.strip():
            found[current].append(line.strip())
    return {name: " ".join(parts).strip() for name, parts in found.items()}


def _field(parameter: inspect.Parameter, hint: Any, note: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    """One parameter as a struct field; those with a default may be left out, and then the function's own holds."""
    kind = hint if hint is not None else _untyped(parameter.default)
    text = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)), note)
    if text:
        kind = Annotated[kind, Meta(description=text)]
    if parameter.default is parameter.empty:
        return parameter.name, kind
    return parameter.name, kind | UnsetType, UNSET


def _untyped(default: object) -> Any:
    """The type of a parameter without a hint: that of its default where it is plain, else anything."""
    return type(default) if type(default) in (str, int, float, bool, list, dict) else Any


def _schema(arguments: type[Struct], parameters: list[inspect.Parameter]) -> JsonObject:
    _, definitions = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    schema: JsonObject = definitions.pop("Arguments")
    schema.pop("title", None)
    properties = schema.get("properties")
    if isinstance(properties, dict):
        _add_defaults(properties, {p.name: p.default for p in parameters if p.default is not p.empty})
    if definitions:
        schema["$defs"] = definitions
    return schema


def _add_defaults(properties: dict[str, JsonValue], defaults: Mapping[str, object]) -> None:
    for name, default in defaults.items():
        node = properties.get(name)
        # null says nothing to a model that the missing `required` does not say.
        if not isinstance(node, dict) or default is None:
            continue
        try:
            node["default"] = msgspec.to_builtins(default)
        except (TypeError, ValueError):
            continue
