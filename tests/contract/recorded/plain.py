"""Answers without what differs from run to run: uids, versions, times and tokens under names of their own.

Called by the player. `uid-1` is the first uid that a story shows, `rv-2` its second resource version: so two
answers are equal where the same things are equal in them. Later requests of the story may use these names.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AGE = re.compile(r"\d+(s|m|m\d+s)")
OBJECT_IN_TEXT = re.compile(r"(?<=Invalid value: \")\{.*\}(?=\": )")
"""A whole object in an error text: its members have no order there."""
VERSION_IN_TEXT = re.compile(r"(?<=\()\d+(?=\))|(?<=resource version: )\d+")
LATELY = timedelta(days=1)


class Names:
    """The names of one story, and what they stand for on the server that it is played to."""

    def __init__(self, namespace: str) -> None:
        self.held = {"namespace": namespace}
        self._given: dict[tuple[str, str], str] = {}
        self.pages = 0

    def name(self, sort: str, value: str) -> str:
        """The name of a value, a new one where it has none yet."""
        if (sort, value) not in self._given:
            number = sum(1 for known, _ in self._given if known == sort) + 1
            self._given[sort, value] = f"{sort}-{number}"
            self.held[f"{sort}-{number}"] = value
        return self._given[sort, value]

    def known(self, sort: str, value: str) -> str:
        """The name of a value, or a word for any of its sort."""
        return self._given.get((sort, value), f"some {sort}")

    def filled(self, text: str) -> str:
        """A request with what `${name}` stands for, and `${x*1000}` written out."""

        def one(found: re.Match[str]) -> str:
            char, star, times = found[1].partition("*")
            return char * int(times) if star else self.held[found[1]]

        return re.sub(r"\$\{([^}]+)\}", one, text)


def plain(body: Any, names: Names) -> Any:
    """The body of an answer, comparable."""
    if isinstance(body, str):
        return body.replace(names.held["namespace"], "NAMESPACE")
    text = json.dumps(body, sort_keys=True).replace(names.held["namespace"], "NAMESPACE")
    text = UID.sub(lambda found: names.name("uid", found[0]), text)
    return _walk(json.loads(text), names)


def _walk(value: Any, names: Names) -> Any:
    if isinstance(value, list):
        return [_walk(item, names) for item in value]
    if isinstance(value, dict):
        told = {k: v for k, v in value.items() if k not in _UNTOLD and v is not None and (k, v) not in _EMPTY}
        if "metadata" in told and str(told.get("kind")).endswith(("Review", "TokenRequest")):
            told["metadata"] = {k: v for k, v in told["metadata"].items() if k in ("name", "namespace", "uid")}
        return {key: _member(key, member, value, names) for key, member in told.items()}
    return _moment(value) if isinstance(value, str) else value


_UNTOLD = frozenset({"storageVersionHash", "serverAddressByClientCIDRs"})
"""Not compared, nor are members that are null or of `_EMPTY`."""
_EMPTY: tuple[tuple[str, Any], ...] = (("details", {}), ("rules", []))


def _member(key: str, value: Any, owner: dict[str, Any], names: Names) -> Any:
    match key:
        case "metadata" if "items" in owner or "rows" in owner or "k8s.io/initial-events-end" in str(value):
            return _of_a_list(value, names)
        case "object" if owner.get("type") == "BOOKMARK":
            return {**_walk(value, names), "metadata": _of_a_list(value["metadata"], names)}
        case "resourceVersion" if isinstance(value, str) and value.isdecimal():
            return names.name("rv", value)
        case "name" if owner.get("generateName") and value.startswith(owner["generateName"]):
            return names.name("name", value)
        case "message" if isinstance(value, str):
            told = OBJECT_IN_TEXT.sub("OBJECT", value)
            told = re.sub(r"(?<=, current: )\d+", "some version", told)
            return VERSION_IN_TEXT.sub(lambda found: names.known("rv", found[0]), told)
        case "reason" if str(value).startswith("RBAC: allowed by"):
            return "RBAC: allowed"  # by any of several roles
        case "managedFields" if isinstance(value, list):
            return sorted(_walk(value, names), key=lambda entry: json.dumps(entry, sort_keys=True))
        case "cells":
            return [
                "AGE" if isinstance(cell, str) and AGE.fullmatch(cell) else _walk(cell, names) for cell in value
            ]
        case "columnDefinitions":
            return [{k: v for k, v in column.items() if k != "description"} for column in value]
        case "items" if isinstance(value, list):
            return [_item(_walk(item, names)) for item in value]
        case "verbs" | "causes" | "resources" | "subresources" if isinstance(value, list):
            return sorted(_walk(value, names), key=lambda item: json.dumps(item, sort_keys=True))
        case "token":
            return "TOKEN"
    return _walk(value, names)


def _of_a_list(metadata: dict[str, Any], names: Names) -> dict[str, Any]:
    """The metadata of a list or bookmark: its version is that of the moment, not of an object."""
    own = ("resourceVersion", "continue")
    out: dict[str, Any] = _walk({k: v for k, v in metadata.items() if k not in own}, names)
    if metadata.get("continue"):
        names.pages += 1
        out["continue"] = f"continue-{names.pages}"
        names.held[out["continue"]] = metadata["continue"]
    if "resourceVersion" in metadata:
        names.held["list"] = metadata["resourceVersion"]
        out["resourceVersion"] = "some version" if metadata["resourceVersion"] else ""
    return out


def _item(obj: Any) -> Any:
    """An object of a list: a real server leaves kind and version out where they are built in."""
    return {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} if isinstance(obj, dict) else obj


def _moment(text: str) -> str:
    """A time of today as NOW; any other text as it is."""
    if not TIME.fullmatch(text):
        return text
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return "NOW" if abs(when - datetime.now(UTC)) < LATELY else text
