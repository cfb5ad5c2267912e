"""Label and field selectors: parsed once, matched often.

The server parses them from query strings, the store matches with them, a cluster client prints them.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from kubechain.errors import BadRequest

Operator = Literal["=", "!=", "in", "notin", "exists", "!"]
_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")


@dataclass(frozen=True, slots=True)
class Requirement:
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


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements hold; without any, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(r.holds(labels) for r in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@dataclass(frozen=True, slots=True)
class FieldSelector:
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
    return LabelSelector(tuple(_requirement(clause, text) for clause in _clauses(text)))


def _clauses(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    clauses = re.split(r",(?![^()]*\))", text)
    return [c.strip() for c in clauses if c.strip()]


def _requirement(clause: str, text: str) -> Requirement:
    if found := _SET.match(clause):
        values = tuple(v.strip() for v in found[4].split(","))
        return Requirement(found[1], "in" if found[3] == "in" else "notin", values)
    if found := _EQUAL.match(clause):
        return Requirement(found[1], "!=" if found[3] == "!=" else "=", (found[4],))
    if found := _EXISTS.match(clause):
        return Requirement(found[2], "!" if found[1] else "exists")
    raise BadRequest(f'unable to parse requirement: "{text}"')


def parse_fields(text: str) -> FieldSelector:
    """The selector in a `fieldSelector=` parameter. Raises BadRequest."""
    requirements = []
    for clause in (c for c in text.split(",") if c):
        found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", clause)
        if not found:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{clause}'")
        requirements.append(Requirement(found[1], "!=" if found[2] == "!=" else "=", (found[3],)))
    return FieldSelector(tuple(requirements))
