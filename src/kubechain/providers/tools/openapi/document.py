"""An OpenAPI document, read and judged: 3.0 or 3.1, in JSON or YAML, whole in itself.

`operations` and `catalog` call it. It fetches nothing: a reference to another document is refused, before any
library sees it. The library that judges takes a second to load, so `judged` belongs into a thread.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from kubechain.errors import Terminal
from kubechain.resources.json import JsonObject, JsonValue, exceeds
from kubechain.resources.yamltext import NotYaml, first

LARGEST = 8 * 1024 * 1024
"""Bytes a document may have."""
_DEEPEST = 100
Version = Literal["3.0", "3.1"]


class Document(Struct, frozen=True):
    """The whole document, and which rules its schemas follow."""

    whole: JsonObject
    version: Version

    def at(self, reference: str) -> JsonValue:
        """What a reference within the document stands for. Raises Terminal (DocumentInvalid)."""
        from referencing import Registry, Resource
        from referencing.exceptions import Unresolvable

        resolver = Registry().with_resource("", Resource.opaque(self.whole)).resolver()
        try:
            found: JsonValue = resolver.lookup(reference).contents
        except Unresolvable as error:
            raise invalid(f"{reference} leads to nothing") from error
        return found

    def resolved(self, node: JsonValue) -> JsonObject:
        """The object that a node is, or refers to. Raises Terminal (DocumentInvalid)."""
        seen: set[str] = set()
        while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            if reference in seen:
                raise invalid(f"{reference} refers to itself")
            seen.add(reference)
            node = self.at(reference)
        if not isinstance(node, dict):
            raise invalid("something else stands where an object is expected")
        return node


def read(text: str) -> Document:
    """The document in a text. Raises Terminal (DocumentInvalid)."""
    if len(text) > LARGEST:
        raise invalid(f"it has more than {LARGEST:,} bytes")
    whole = _values(text)
    if not isinstance(whole, dict):
        raise invalid("it is neither a JSON nor a YAML object")
    if exceeds(whole, _DEEPEST):
        raise invalid(f"it is nested deeper than {_DEEPEST} levels")
    version = _version(whole)
    document = Document(whole, version)
    for reference in _references(whole):
        if not reference.startswith("#"):
            raise invalid(f"it refers to another document ({reference[:200]}); bundle both into one")
        document.at(reference)
    return document


def judged(text: str) -> Document:
    """The document in a text, if it keeps to the specification. Raises Terminal (DocumentInvalid)."""
    document = read(text)
    from jsonschema_path import SchemaPath
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
    from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

    judge = OpenAPIV30SpecValidator if document.version == "3.0" else OpenAPIV31SpecValidator
    try:
        error = next(iter(judge(SchemaPath.from_dict(document.whole, handlers={})).iter_errors()), None)
    except (OpenAPIValidationError, LookupError, TypeError, ValueError, RecursionError) as trouble:
        raise invalid(f"it does not keep to the specification ({type(trouble).__name__})") from trouble
    if error is not None:
        where = "/".join(map(str, error.absolute_path)) or "its top level"
        said, *_ = error.message.strip().splitlines() or [""]
        raise invalid(f"at {where[:200]}: {said[:400]}")
    return document


def invalid(why: str) -> Terminal:
    """The error for a document that cannot be used."""
    return Terminal(f"the OpenAPI document cannot be used: {why}", reason="DocumentInvalid")


def _values(text: str) -> JsonValue:
    try:
        if text.lstrip()[:1] == "{":
            whole: JsonValue = msgspec.json.decode(text)
            return whole
        return first(text)
    except (msgspec.MsgspecError, NotYaml, RecursionError) as error:
        raise invalid(f"it is neither JSON nor YAML ({error})") from error


def _version(whole: JsonObject) -> Version:
    stated = whole.get("openapi")
    if isinstance(stated, str) and stated.startswith("3.0."):
        return "3.0"
    if isinstance(stated, str) and stated.startswith("3.1."):
        return "3.1"
    if "swagger" in whole:
        raise invalid("it is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1")
    raise invalid(f"it says openapi: {str(stated)[:40]}; 3.0 and 3.1 can be read")


def _references(whole: JsonObject) -> list[str]:
    """Every reference in the document, once."""
    open_: list[JsonValue] = [whole]
    found: dict[str, None] = {}
    while open_:
        node = open_.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                found[reference] = None
            open_.extend(node.values())
        elif isinstance(node, list):
            open_.extend(node)
    return list(found)
