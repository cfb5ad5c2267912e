"""Changes of several kinds of objects as one queue, each kind watched by a thread of its own.

Used by `demo`. Ends with the server; never outlives the process.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from threading import Thread

from kubechain.cli.changes import SYNCED, changes
from kubechain.cli.client import Client
from kubechain.cli.discover import Resource
from kubechain.errors import KubechainError
from kubechain.resources.json import JsonObject


class Feed:
    """Every state of every object of some resources in the client's namespace, in the order seen."""

    def __init__(self, client: Client, resources: list[Resource]) -> None:
        self._seen: queue.SimpleQueue[JsonObject] = queue.SimpleQueue()
        for resource in resources:
            own = Client(client.target, client.namespace)  # a connection belongs to one thread
            Thread(target=self._watch, args=(own, resource), daemon=True).start()

    def objects(self, seconds: float) -> Iterator[JsonObject]:
        """States as they come. Raises TimeoutError after `seconds` altogether."""
        end = time.monotonic() + seconds
        while True:
            try:
                yield self._seen.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None

    def _watch(self, client: Client, resource: Resource) -> None:
        try:
            for event in changes(client, resource.path(client.namespace)):
                if event.type != SYNCED:
                    self._seen.put(event.object)
        except KubechainError:  # the server is gone, as the demo wants it to be
            return
