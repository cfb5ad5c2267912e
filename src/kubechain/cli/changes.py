"""The changes of objects as an endless sequence: a list, then a watch that is resumed when it ends.

Used by `get -w`, `wait`, `logs -f`, `run --follow` and `demo`. If the server stops answering, it waits up to
`patience` seconds, because the server may be restarted, even on another port. Does not poll otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from kubechain.cli.client import Client
from kubechain.cli.discover import Resource
from kubechain.cli.exits import NotRunning
from kubechain.cli.objects import mapping, members, text
from kubechain.cli.options import complain
from kubechain.errors import Gone, InternalError, KubechainError, Timeout, TooManyRequests
from kubechain.resources.duration import human
from kubechain.resources.json import JsonObject

LISTING = "LISTING"
"""The type of the event that says: everything there is is reported once more from here on."""
SYNCED = "SYNCED"
"""The type of the event that says: everything there was has been reported."""


PATIENCE = 300.0
"""Seconds that a server may be away before a command that follows something gives up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED, or LISTING and SYNCED with an empty object."""

    type: str
    object: JsonObject


class Deadline:
    """A moment to wait until, on the monotonic clock; None is never."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def end(self) -> None:
        """Ends the wait: from now on the deadline has passed."""
        self._at = 0.0

    def left(self) -> float | None:
        """Seconds until then. Raises TimeoutError once it is past."""
        if self._at is None:
            return None
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def changes(
    client: Client,
    path: str,
    query: Mapping[str, str] | None = None,
    deadline: Deadline | None = None,
    patience: float = PATIENCE,
    *,
    quiet: bool = False,
) -> Generator[WatchEvent, None, None]:
    """LISTING, the present objects as ADDED, SYNCED, then every change; starts again if necessary.

    Raises TimeoutError at the deadline, NotRunning if the server does not answer for `patience` seconds.
    Unless `quiet`, prints that it does not answer.
    """
    deadline, query = deadline or Deadline(None), dict(query or {})
    outage, told = Outage(client, patience, quiet=quiet), False
    while True:
        try:
            page = client.get(path, query)
            api_version, kind = text(page, "apiVersion"), text(page, "kind").removesuffix("List")
            told = True
            outage.over()
            yield WatchEvent(LISTING, {})
            for item in members(page, "items"):
                yield WatchEvent("ADDED", {"apiVersion": api_version, "kind": kind, **item})
            yield WatchEvent(SYNCED, {})
            yield from resumed(client, path, query, text(page, "metadata.resourceVersion"), deadline)
        except Gone:
            continue
        except (NotRunning, TooManyRequests, InternalError, Timeout) as error:
            if not told:
                raise
            outage.sit_out(error, deadline)


class Outage:
    """A server that stops answering during a watch. It is tried again for a while, at growing intervals."""

    def __init__(self, client: Client, patience: float, *, quiet: bool) -> None:
        self._client = client
        self._patience = patience
        self._tell: Callable[[str], None] = (lambda words: None) if quiet else complain
        self._began: float | None = None
        self._pause = FIRST_PAUSE

    def sit_out(self, error: KubechainError, deadline: Deadline) -> None:
        """Waits before the next try. Raises the error if the outage lasts too long, or TimeoutError."""
        now, left = time.monotonic(), deadline.left()
        if self._began is None:
            self._began = now
            if self._patience:
                self._tell(f"{error}\nWaiting up to {human(self._patience)} for it to come back.")
        if now + self._pause > self._began + self._patience:
            raise error
        time.sleep(self._pause if left is None else min(self._pause, left))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._client.look_again()

    def over(self) -> None:
        """The server answers again."""
        if self._began is not None:
            self._tell(f"{self._client.target.server} answers again.")
        self._began, self._pause = None, FIRST_PAUSE


def resumed(
    client: Client, path: str, query: Mapping[str, str], version: str, deadline: Deadline, accept: str = ""
) -> Generator[WatchEvent, None, None]:
    """Every change after a resource version, over as many connections as it takes. Raises Gone, TimeoutError."""
    while True:
        options = {**query, "resourceVersion": version}
        for event in client.watch(path, options, accept or "application/json", deadline.left()):
            obj = mapping(event, "object")
            version = version_of(obj) or version
            deadline.left()
            if text(event, "type") != "BOOKMARK":
                yield WatchEvent(text(event, "type"), obj)


def version_of(obj: JsonObject) -> str:
    """The resource version of an object, or of the row in a watch's Table."""
    rows = members(obj, "rows")[-1:]
    return text(obj, "metadata.resourceVersion") or "".join(
        text(r, "object.metadata.resourceVersion") for r in rows
    )


def of_object(
    client: Client, resource: Resource, namespace: str, name: str, deadline: Deadline | None = None
) -> Generator[WatchEvent, None, None]:
    """The changes of one object."""
    return changes(client, resource.path(namespace), {"fieldSelector": f"metadata.name={name}"}, deadline)
