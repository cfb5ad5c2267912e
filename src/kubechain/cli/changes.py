"""What happens to objects, as an endless sequence: a list, then a watch that resumes where it was cut.

Used by `get -w`, `wait`, `logs -f`, `run --follow` and `demo`. Never polls;
swallows no error but that of an expired version.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from kubechain.cli.client import Client
from kubechain.cli.discover import Resource
from kubechain.cli.objects import mapping, members, text
from kubechain.errors import Gone
from kubechain.resources.json import JsonObject

SYNCED = "SYNCED"
"""The type of the event that says: everything there was has been reported."""


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is ADDED, MODIFIED, DELETED, or SYNCED with an empty object."""

    type: str
    object: JsonObject


class Deadline:
    """A moment to wait until, on the monotonic clock; None is never."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until then. Raises TimeoutError once it is past."""
        if self._at is None:
            return None
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def changes(
    client: Client, path: str, query: Mapping[str, str] | None = None, deadline: Deadline | None = None
) -> Generator[Event, None, None]:
    """The present objects of a collection as ADDED, SYNCED, then every change; again from the start on 410.

    Raises TimeoutError at the deadline, NotRunning when the server goes away.
    """
    deadline, query = deadline or Deadline(None), dict(query or {})
    while True:
        page = client.get(path, query)
        api_version, kind = text(page, "apiVersion"), text(page, "kind").removesuffix("List")
        for item in members(page, "items"):
            yield Event("ADDED", {"apiVersion": api_version, "kind": kind, **item})
        yield Event(SYNCED, {})
        try:
            yield from resumed(client, path, query, text(page, "metadata.resourceVersion"), deadline)
        except Gone:
            continue


def resumed(
    client: Client, path: str, query: Mapping[str, str], version: str, deadline: Deadline, accept: str = ""
) -> Generator[Event, None, None]:
    """Every change after a resource version, over as many connections as it takes. Raises Gone, TimeoutError."""
    while True:
        options = {**query, "resourceVersion": version}
        for event in client.watch(path, options, accept or "application/json", deadline.left()):
            obj = mapping(event, "object")
            version = version_of(obj) or version
            deadline.left()
            if text(event, "type") != "BOOKMARK":
                yield Event(text(event, "type"), obj)


def version_of(obj: JsonObject) -> str:
    """The resource version of an object, or of the row in a watch's Table."""
    rows = members(obj, "rows")[-1:]
    return text(obj, "metadata.resourceVersion") or "".join(
        text(r, "object.metadata.resourceVersion") for r in rows
    )


def of_object(
    client: Client, resource: Resource, namespace: str, name: str, deadline: Deadline | None = None
) -> Generator[Event, None, None]:
    """The changes of one object."""
    return changes(client, resource.path(namespace), {"fieldSelector": f"metadata.name={name}"}, deadline)
