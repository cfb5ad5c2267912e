"""Which objects a list or a watch is about: label and field selectors, parsed once, matched often.

The server parses them from query strings, a cluster client prints them, and the store matches documents with them
(`Matcher`, which looks into a document only when a selector asks for more than its name). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from kubechain.errors import BadRequest
from kubechain.resources.builtin import EVENTS
from kubechain.resources.document import meta_of
from kubechain.resources.fields import reader
from kubechain.resources.kind import Kind

Operator = Literal["=", "!=", "in", "notin", "exists", "!", "gt", "lt"]
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+|$)")
_OPERATORS: dict[str, Operator] = {
    "in": "in", "notin": "notin", "=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt",
}  # fmt: skip
_BY_ADDRESS = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "source": "deprecatedSource.component",
    "reportingComponent": "reportingController",
}


class Requirement(Struct, frozen=True):
    """One clause; `values` is empty for exists and `!`, one entry for `=` and `!=`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "gt" | "lt":
                if value is None or not re.fullmatch(r"[-+]?[0-9]+", value):
                    return False
                more, less = (value, self.values[0]) if self.operator == "gt" else (self.values[0], value)
                return int(more) > int(less)

    def __str__(self) -> str:
        match self.operator:
            case "=" | "!=":
                return f"{self.key}{self.operator}{self.values[0]}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"


class LabelSelector(Struct, frozen=True):
    """All requirements hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(r.holds(labels) for r in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


class FieldSelector(Struct, frozen=True):
    """Dotted paths compared with texts; `=` and `!=` only."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, value_of: Callable[[str], str]) -> bool:
        """`value_of(path)` gives the field's text, "" where it is absent."""
        return all((value_of(r.key) == r.values[0]) is (r.operator == "=") for r in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def equal_to(self, path: str) -> str | None:
        """The text that `path` must equal, or None where it is not required to equal one."""
        for r in self.requirements:
            if r.key == path and r.operator == "=":
                return r.values[0]
        return None


def labels(**wanted: str) -> LabelSelector:
    """A selector of exact labels, for code: `labels(app="x")`."""
    return LabelSelector(tuple(Requirement(k, "=", (v,)) for k, v in wanted.items()))


def parse_labels(text: str) -> LabelSelector:
    """The selector in a `labelSelector=` parameter. Raises BadRequest."""
    return LabelSelector(tuple(_Parser(text).requirements()))


class _Parser:
    """A reader of label selectors, clause after clause; its refusals are those of a Kubernetes API server."""

    def __init__(self, text: str) -> None:
        self._tokens = [token for token in _TOKEN.findall(text) if token]

    @property
    def next(self) -> str:
        """The next token, "" at the end."""
        return self._tokens[0] if self._tokens else ""

    def take(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def requirements(self) -> Iterator[Requirement]:
        while self.next:
            if self.next != "!" and not _is_word(self.next):
                raise _expected(self.next, "!, identifier, or 'end of string'")
            yield self._requirement()
            if self.next == "":
                return
            if (found := self.take()) != ",":
                raise _expected(found, "',' or 'end of string'")
            if self.next != "!" and not _is_word(self.next):
                raise _expected(self.next, "identifier after ','")

    def _requirement(self) -> Requirement:
        prefix = "unable to parse requirement: "
        absent = self.next == "!" and self.take() == "!"
        if not _is_word(key := self.take()):
            raise _expected(key, "identifier", prefix)
        if absent or self.next in ("", ","):
            return Requirement(key, "!" if absent else "exists")
        if (operator := _OPERATORS.get(word := self.take())) is None:
            raise _expected(word, "in, notin, =, ==, !=, gt, lt", prefix)
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._values(prefix))
        value = "" if self.next in ("", ",") else self.take()
        if value and not _is_word(value):
            raise _expected(value, "identifier", prefix)
        if operator in ("gt", "lt") and not re.fullmatch(r"[-+]?[0-9]+", value):
            raise BadRequest(
                f"{prefix}values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, "
                "the value must be an integer"
            )
        return Requirement(key, operator, (value,))

    def _values(self, prefix: str) -> tuple[str, ...]:
        if (found := self.take()) != "(":
            raise BadRequest(f"{prefix}found '{found}' expected: '('")
        values = [""]
        while (found := self.take()) != ")":
            if found == ",":
                values.append("")
            elif _is_word(found) and self.next in (",", ")"):
                values[-1] = found
            else:
                raise _expected(self.next if _is_word(found) else found, "',' or ')'", prefix)
        return tuple(values)


def _is_word(token: str) -> bool:
    return bool(token) and token[0] not in "=!(),<>"


def _expected(found: str, what: str, prefix: str = "") -> BadRequest:
    return BadRequest(f"{prefix}found '{found}', expected: {what}")


def parse_fields(text: str) -> FieldSelector:
    """The selector in a `fieldSelector=` parameter. Raises BadRequest."""
    requirements = []
    for clause in (c for c in text.split(",") if c):
        found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", clause)
        if not found:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{clause}'")
        requirements.append(Requirement(found[1], "!=" if found[2] == "!=" else "=", (found[3],)))
    return FieldSelector(tuple(requirements))


class Matcher:
    """The conditions of one list or watch, parsed once. Raises BadRequest for a field that none may select by."""

    def __init__(self, kind: Kind[Any], namespace: str, labels: LabelSelector, fields: FieldSelector) -> None:
        for requirement in fields.requirements:
            if not _selectable(kind, requirement.key):
                raise BadRequest(f"field label not supported: {requirement.key}")
        self._labels = labels
        self._address = FieldSelector(tuple(r for r in fields.requirements if r.key in _BY_ADDRESS))
        self._fields = FieldSelector(tuple(r for r in fields.requirements if r.key not in _BY_ADDRESS))
        stored = _stored_event_path if kind.key == EVENTS.key else str
        self._read = reader({r.key: stored(r.key) for r in self._fields.requirements})
        self.namespace = namespace or fields.equal_to("metadata.namespace") or ""
        self.name = fields.equal_to("metadata.name")
        self.looks_inside = bool(labels or self._fields)
        self.takes_all = not (self.namespace or labels or fields)
        self.selects = bool(labels or fields)

    def accepts_address(self, namespace: str, name: str) -> bool:
        if self.namespace and namespace != self.namespace:
            return False
        if not self._address:
            return True
        return self._address.matches(lambda path: name if path == "metadata.name" else namespace)

    def accepts(self, body: bytes) -> bool:
        """Whether a document, its address accepted already, is what is asked for."""
        if self._labels and not self._labels.matches(meta_of(body).labels):
            return False
        if not self._fields:
            return True
        texts = self._read(body)
        return self._fields.matches(lambda path: texts[path])


def _selectable(kind: Kind[Any], path: str) -> bool:
    if path in _BY_ADDRESS or path in kind.selectable:
        return True
    return kind.key == EVENTS.key and path.replace("regarding.", "involvedObject.") in kind.selectable


def _stored_event_path(path: str) -> str:
    """Events are selected by the names of core/v1 and stored under those of events.k8s.io/v1."""
    head, dot, rest = path.partition(".")
    return _EVENT_FIELDS.get(head, head) + dot + rest
