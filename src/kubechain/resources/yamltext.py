"""YAML as Kubernetes reads and writes it: the program's reader of request bodies, manifests and kubeconfigs.

Imported in the moment a document needs it: a start does not pay for the library. Reads event after event, so that
no nesting ends the process, and counts what aliases stand for before it is built. Builds plain data only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import yaml
from msgspec import Struct

from kubechain.resources.json import MAX_DEPTH, JsonObject, JsonValue
from kubechain.resources.yamlscalars import NotYaml, key_of, tagged, value_of

__all__ = ["MAX_ALIASED", "NotYaml", "documents", "dump", "first", "texts"]

MAX_ALIASED = 256 * 1024
"""Characters and values that all aliases of a document may stand for: a sixth of what an object holds."""
_STRING = "tag:yaml.org,2002:str"
_COLLECTIONS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def documents(source: str | bytes, repeated: list[str] | None = None) -> Iterator[JsonValue]:
    """The values of a stream's documents; keys that come twice are reported in `repeated`. Raises NotYaml."""
    return _Reader(source, [] if repeated is None else repeated).documents()


def first(source: str | bytes, repeated: list[str] | None = None) -> JsonValue:
    """The value of the first document, None where there is none. Raises NotYaml."""
    return next(documents(source, repeated), None)


def texts(source: str | bytes) -> JsonValue:
    """The first document with every scalar as the text it is written as: a token of digits stays one."""
    return next(_Reader(source, [], typed=False).documents(), None)


class _Anchor(Struct):
    value: JsonValue
    weight: int
    height: int


class _Reader:
    """Events -> values. The depth is that of the value in its document, aliases taken as what they stand for."""

    def __init__(self, source: str | bytes, repeated: list[str], *, typed: bool = True) -> None:
        self._source, self._repeated, self._typed = source, repeated, typed
        self._anchors: dict[str, _Anchor] = {}
        self._weight = self._aliased = self._deepest = 0

    def documents(self) -> Iterator[JsonValue]:
        try:
            self._events = yaml.parse(self._source, Loader=yaml.CSafeLoader)
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors = {}
                    self._weight = self._aliased = self._deepest = 0
                    yield self._value(next(self._events), 0)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or " ".join(str(error).split())
            mark = getattr(error, "problem_mark", None)
            raise NotYaml(problem, mark.line + 1 if mark else None) from None
        except UnicodeEncodeError as error:
            raise NotYaml(f"the text has a character that is none: {error.reason}") from None

    def _value(self, event: yaml.Event, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise NotYaml(f"exceeded max depth of {MAX_DEPTH}", _line(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if not isinstance(event, yaml.NodeEvent) or event.anchor is None:
            return self._unnamed(event, depth)
        weight, deepest = self._weight, self._deepest
        self._deepest = depth
        value = self._unnamed(event, depth)
        self._anchors[event.anchor] = _Anchor(value, self._weight - weight, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, event: yaml.AliasEvent, depth: int) -> JsonValue:
        anchor = self._anchors.get(event.anchor or "")
        if anchor is None:
            raise NotYaml(f"unknown anchor '{event.anchor}' referenced", _line(event))
        if depth + anchor.height > MAX_DEPTH:
            raise NotYaml(f"exceeded max depth of {MAX_DEPTH}", _line(event))
        self._aliased += anchor.weight
        if self._aliased > MAX_ALIASED:
            raise NotYaml("document contains excessive aliasing", _line(event))
        self._weight += anchor.weight
        self._deepest = max(self._deepest, depth + anchor.height)
        return anchor.value

    def _unnamed(self, event: yaml.Event, depth: int) -> JsonValue:
        self._deepest = max(self._deepest, depth)
        if isinstance(event, yaml.ScalarEvent):
            self._weight += 1 + len(event.value)
            return self._scalar(event)
        self._weight += 1
        if self._typed and (tag := getattr(event, "tag", None)) not in _COLLECTIONS:
            raise NotYaml(f"a value with the tag {tag} has no place in an object", _line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[JsonValue] = []
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(inner, depth + 1))
            return items
        return self._mapping(depth)

    def _scalar(self, event: yaml.ScalarEvent) -> JsonValue:
        text: str = event.value
        if not self._typed:
            return text
        try:
            if event.tag not in (None, "!"):
                return tagged(text, event.tag)
            return value_of(text) if event.implicit[0] and event.tag is None else text
        except ValueError as error:
            raise NotYaml(str(error), _line(event)) from None

    def _mapping(self, depth: int) -> JsonObject:
        out: JsonObject = {}
        merged: JsonObject = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if self._merges(event):
                for source in self._sources(self._value(next(self._events), depth + 1), _line(event)):
                    for name, member in source.items():
                        merged.setdefault(name, member)
                continue
            key = self._key(self._value(event, depth + 1), _line(event))
            if key in out:
                self._report(key, _line(event))
            out[key] = self._value(next(self._events), depth + 1)
        return {**merged, **out} if merged else out

    def _merges(self, event: yaml.Event) -> bool:
        plain = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
        return plain and self._typed

    def _sources(self, value: JsonValue, line: int) -> list[JsonObject]:
        """What a merge key merges: a mapping, or mappings of which the first counts most."""
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise NotYaml("map merge requires map or sequence of maps as the value", line)
        return cast("list[JsonObject]", sources)

    def _key(self, key: JsonValue, line: int) -> str:
        try:
            return key_of(key)
        except ValueError as error:
            raise NotYaml(str(error), line) from None

    def _report(self, key: str, line: int) -> None:
        self._repeated.append(f'yaml: unmarshal errors:\n  line {line}: key "{key}" already set in map')


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Dumper(yaml.CSafeDumper):
    """Block style, text of several lines as `|`, text that reads as something else in double quotes."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent(dumper: _Dumper, words: str) -> yaml.ScalarNode:
    style = None
    if "\n" in words:
        style = "|"
    elif (
        not isinstance(value_of(words, finite=False), str)
        or dumper.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, words, (True, False)
        )
        != _STRING
    ):
        style = '"'
    return dumper.represent_scalar(_STRING, words, style=style)


_Dumper.add_representer(str, _represent)


def dump(value: JsonValue) -> str:
    """One document, keys in order of the alphabet."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, sort_keys=True)
