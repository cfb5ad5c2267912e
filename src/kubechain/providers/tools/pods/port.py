"""The pods of a cluster, as `starter` and `process` use them. `cluster.pods` implements it; tests may, too."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from kubechain.resources.json import JsonObject

STDOUT, STDERR = 1, 2
"""Channels of a container that is attached to."""


class Streams(Protocol):
    """The streams of one container."""

    async def receive(self) -> tuple[int, bytes] | None:
        """Channel and bytes that the container wrote; None when it has ended or the connection has."""
        ...

    async def send(self, data: bytes) -> None:
        """Writes to its stdin. Raises ConnectionError."""
        ...

    async def close_stdin(self) -> None:
        """Closes its stdin. Raises ConnectionError."""
        ...

    async def close(self) -> None:
        """Ends the connection."""
        ...


class Pods(Protocol):
    """Makes, watches, attaches to and deletes pods. Every method raises errors.ApiError."""

    async def create(self, namespace: str, pod: JsonObject) -> None:
        """Raises AlreadyExists, Forbidden."""
        ...

    def watch(self, namespace: str, name: str) -> AsyncGenerator[bytes | None, None]:
        """The pod as it is now and after each change, as JSON; None: it is gone. Ends after some minutes."""
        ...

    async def delete(self, namespace: str, name: str, grace: int) -> None:
        """Deletes it; one that is gone is fine. `grace`: seconds between SIGTERM and SIGKILL."""
        ...

    async def attach(self, namespace: str, name: str, container: str) -> Streams:
        """The streams of a running container."""
        ...
