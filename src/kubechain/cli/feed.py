"""Changes of several kinds of objects as one queue, each kind watched by a thread of its own.

Used by `logs -f`, `run --follow` and `demo`. Never outlives the process.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread

from kubechain.cli.changes import PATIENCE, Deadline, WatchEvent, changes
from kubechain.cli.client import Client
from kubechain.cli.discover import Resource
from kubechain.errors import KubechainError


@dataclass(frozen=True, slots=True)
class Watched:
    """Objects of a resource in the client's namespace: all of them, or those that a selector picks."""

    resource: Resource
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """A watch event and its kind."""

    kind: str
    event: WatchEvent


class Feed:
    """Every event of what is watched, in the order seen. `patience`: as in `changes`."""

    def __init__(self, client: Client, watched: Sequence[Watched], patience: float = PATIENCE) -> None:
        self._seen: queue.SimpleQueue[News | KubechainError] = queue.SimpleQueue()
        self._patience = patience
        self._deadline = Deadline(None)
        for number, one in enumerate(watched):
            Thread(target=self._watch, args=(client.sibling(), one, number > 0), daemon=True).start()

    def news(self, seconds: float | None = None) -> Iterator[News]:
        """Events as they come. Raises TimeoutError after `seconds` altogether, and what ends a watch."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                seen = self._seen.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if isinstance(seen, KubechainError):
                raise seen
            yield seen

    def close(self) -> None:
        """Stops: a watch whose server is lost ends."""
        self._deadline.end()

    def _watch(self, client: Client, one: Watched, quiet: bool) -> None:
        try:
            path = one.resource.path(client.namespace)
            for event in changes(client, path, one.query, self._deadline, self._patience, quiet=quiet):
                self._seen.put(News(one.resource.kind, event))
        except TimeoutError:  # closed
            return
        except KubechainError as error:
            self._seen.put(error)
        finally:
            client.close()
