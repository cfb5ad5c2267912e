"""A Python function as a tool: docstring and type hints -> description, JSON Schema and argument checks.

Runs in the tool process, never in the controller: it needs the function itself.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from kubechain.providers.tools.function.docstring import docstring
from kubechain.resources.json import JsonObject, JsonValue

IDEMPOTENCY_KEY = "idempotency_key"

_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
_PYDANTIC = ("pydantic", "annotated_types")
_FORMATS: dict[Any, str] = {datetime.datetime: "date-time", datetime.time: "time"}
"""msgspec names these only where a time zone is required, since the format does."""


class UnfitFunction(TypeError):
    """The function's type hints cannot be described to a model."""


class UnfitArguments(ValueError):
    """The arguments do not fit; the text is for the model."""


class Arguments(Protocol):
    """The arguments of one function: their schema, and how to decode a document into values."""

    schema: Raw

    def bind(self, document: str) -> dict[str, object]:
        """The arguments that were given, by name. Raises ValueError, its text for the model."""
        ...


class Signature(msgspec.Struct, frozen=True):
    """What models are told about a function, and what it is called with."""

    description: str
    arguments: Arguments
    positional: tuple[str, ...]
    takes_key: bool

    @property
    def parameters(self) -> Raw:
        """The JSON Schema of its arguments."""
        return self.arguments.schema

    def bind(self, document: str, key: str) -> tuple[list[object], dict[str, object]]:
        """The function's positional and keyword arguments for a JSON document. Raises UnfitArguments."""
        try:
            values = self.arguments.bind(document or "{}")
        except ValueError as error:
            raise UnfitArguments(f"{error}. {self._expected()}") from error
        positional = [values.pop(name) for name in self.positional if name in values]
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
    parameters = list(inspect.signature(function).parameters.values())
    if unnamed := next((p for p in parameters if p.kind in _STARS), None):
        raise UnfitFunction(
            f"its parameter {_STARS[unnamed.kind]}{unnamed.name} cannot be described to a model; give every "
            "argument a name and a type hint (a decorator keeps those of its function with functools.wraps)"
        )
    offered = [p for p in parameters if p.name != IDEMPOTENCY_KEY]
    described = {p.name: _described(p, hints.get(p.name), notes.get(p.name, "")) for p in offered}
    try:
        arguments = _arguments(offered, described)
    except TypeError as error:
        raise UnfitFunction(f"its parameters have no JSON form: {error}") from error
    return Signature(
        description=description,
        arguments=arguments,
        positional=tuple(p.name for p in offered if p.kind is p.POSITIONAL_ONLY),
        takes_key=len(parameters) > len(offered),
    )


def _arguments(parameters: list[inspect.Parameter], hints: Mapping[str, Any]) -> Arguments:
    """By msgspec, which is quick; by pydantic where the hints are pydantic's, or msgspec does not know them."""
    refused: TypeError | None = None
    if not any(_is_pydantics(hint) for hint in hints.values()):
        try:
            return PlainArguments(parameters, hints)
        except TypeError as error:
            refused = error
    try:
        from kubechain.providers.tools.function.models import PydanticArguments
    except ImportError as error:
        raise refused or TypeError(str(error)) from error
    try:
        return PydanticArguments(parameters, {name: _for_pydantic(hint) for name, hint in hints.items()})
    except TypeError as error:
        raise refused or error from error


class PlainArguments:
    """The arguments of a function whose types msgspec knows. Raises TypeError."""

    def __init__(self, parameters: list[inspect.Parameter], hints: Mapping[str, Any]) -> None:
        fields = [_field(parameter, hints[parameter.name]) for parameter in parameters]
        self._struct = msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True, kw_only=True)
        self.schema = Raw(msgspec.json.encode(_schema(self._struct, parameters)))

    def bind(self, document: str) -> dict[str, object]:
        """The arguments that were given, by name. Raises ValueError."""
        try:
            given = msgspec.json.decode(document, type=self._struct)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        names = self._struct.__struct_fields__
        return {name: value for name in names if (value := getattr(given, name)) is not UNSET}


def _described(parameter: inspect.Parameter, hint: Any, note: str) -> Any:
    """A parameter's type, with what is said about it."""
    kind = _with_words(hint) if hint is not None else _untyped(parameter.default)
    told = any(getattr(m, "description", None) for m in getattr(kind, "__metadata__", ()))
    return Annotated[kind, Meta(description=note)] if note and not told else kind


def _with_words(hint: Any) -> Any:
    """The hint with strings in it, `Annotated[str, "Name of a city."]`, as descriptions of what they are on."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        words = next((text for m in hint.__metadata__ if (text := _words(m))), "")
        rest = tuple(m for m in hint.__metadata__ if not _words(m))
        return Annotated[(_with_words(args[0]), *rest, *([Meta(description=words)] if words else []))]
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, map(_with_words, args))
    if origin in (list, set, frozenset, tuple, dict):
        return origin[tuple(map(_with_words, args))]
    return (
        Annotated[hint, Meta(extra_json_schema={"format": _FORMATS[hint]})]
        if isinstance(hint, type) and hint in _FORMATS
        else hint
    )


def _words(note: object) -> str:
    """A description that was given as a string, or as typing_extensions.Doc."""
    text = note if isinstance(note, str) else getattr(note, "documentation", "")
    return text if isinstance(text, str) else ""


def _is_pydantics(hint: Any) -> bool:
    """Whether it is a type of pydantic's, or says something that only pydantic understands."""
    if hasattr(hint, "__pydantic_core_schema__") or hasattr(hint, "__get_pydantic_core_schema__"):
        return True
    if any(type(m).__module__.partition(".")[0] in _PYDANTIC for m in getattr(hint, "__metadata__", ())):
        return True
    return any(_is_pydantics(one) for one in typing.get_args(hint) if not isinstance(one, str))


def _for_pydantic(hint: Any) -> Any:
    """The hint with descriptions as pydantic's own."""
    from pydantic import Field

    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        notes = [Field(description=m.description) if isinstance(m, Meta) else m for m in hint.__metadata__]
        return Annotated[(_for_pydantic(args[0]), *notes)]
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, map(_for_pydantic, args))
    if origin in (list, set, frozenset, tuple, dict):
        return origin[tuple(map(_for_pydantic, args))]
    return hint


def _field(parameter: inspect.Parameter, kind: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    """One parameter as a struct field; those with a default may be left out, and then the function's own holds."""
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
