"""Schemas of an OpenAPI document as JSON Schema: what `$ref` leads to goes along under `$defs`. Pure.

3.0 has words of its own (`nullable`, exclusive bounds that are true or false), which are translated. What a server
only sends (`readOnly`) is left out, and so is what says nothing about values (examples, XML names, extensions).
"""

from __future__ import annotations

import re

from kubechain.providers.tools.openapi.document import Document
from kubechain.resources.json import JsonObject, JsonValue

_LEFT_OUT = frozenset({"xml", "externalDocs", "discriminator", "example", "examples", "deprecated", "readOnly"})
_NOT_FOR_MODELS = frozenset({"$schema", "$id", "$anchor", "$comment", "$dynamicAnchor", "writeOnly", "nullable"})
_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_SCHEMA = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedProperties", "unevaluatedItems"}
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})


class Schemas:
    """Translates the schemas of one operation. `defs` has what they refer to."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._old = document.version == "3.0"
        self._keys: dict[str, str] = {}
        self.defs: JsonObject = {}

    def of(self, node: JsonValue) -> JsonValue:
        """A schema as JSON Schema. Raises Terminal (DocumentInvalid) where a reference leads to nothing."""
        if not isinstance(node, dict):
            return node if isinstance(node, bool) else {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            target: JsonObject = {"$ref": f"#/$defs/{self._key(reference)}"}
            return target if self._old else {**self._members(node), **target}
        found = self._members(node)
        return _of_3_0(node, found) if self._old else found

    def _members(self, node: JsonObject) -> JsonObject:
        hidden = self._sent_only(node)
        found: JsonObject = {}
        for word, value in node.items():
            if word in _LEFT_OUT or word in _NOT_FOR_MODELS or word.startswith("x-") or word == "$ref":
                continue
            if word in _SCHEMAS and isinstance(value, dict):
                found[word] = {name: self.of(one) for name, one in value.items() if name not in hidden}
            elif word in _SCHEMA:
                found[word] = self.of(value)
            elif word in _LIST and isinstance(value, list):
                found[word] = [self.of(one) for one in value]
            elif word == "required" and isinstance(value, list):
                if left := [name for name in value if name not in hidden]:
                    found[word] = left
            else:
                found[word] = value
        return found

    def _sent_only(self, node: JsonObject) -> set[str]:
        """Properties that the server sends and does not take."""
        properties = node.get("properties")
        if not isinstance(properties, dict):
            return set()
        return {name for name, one in properties.items() if isinstance(one, dict) and one.get("readOnly") is True}

    def _key(self, reference: str) -> str:
        """The name under `$defs`; what stands there is translated once, so that a schema may contain itself."""
        if reference not in self._keys:
            wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2]) or "schema"
            key, taken = wanted, set(self._keys.values())
            while key in taken:
                key += "_"
            self._keys[reference] = key
            self.defs[key] = self.of(self._document.at(reference))
        return self._keys[reference]


def _of_3_0(node: JsonObject, found: JsonObject) -> JsonObject:
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(exclusive := found.get(bound), bool):
            del found[bound]
            if exclusive and limit in found:
                found[bound] = found.pop(limit)
    if node.get("nullable") is not True:
        return found
    if isinstance(type_ := found.get("type"), str):
        found["type"] = [type_, "null"]
        if isinstance(values := found.get("enum"), list) and None not in values:
            found["enum"] = [*values, None]
        return found
    return {"anyOf": [found, {"type": "null"}]} if found else found
