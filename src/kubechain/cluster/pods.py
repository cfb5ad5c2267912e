"""Pods of a cluster, for tools that run in pods of their own: made, watched, attached to, deleted.

`operator` gives it to the kinds of tools that need it. It interprets no pod and keeps nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
import msgspec
from msgspec import Raw, Struct

from kubechain.cluster.connection import Request
from kubechain.cluster.http import HttpConnection
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject

PROTOCOL = "v5.channel.k8s.io"
"""The subprotocol of attach in which a client can close one stream (Kubernetes 1.30)."""
STDIN = 0
_CLOSE = 255
_ENDS = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


class _Event(Struct):
    type: str
    object: Raw


class Attached:
    """The streams of one container: bytes by channel, until it ends or the connection does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> tuple[int, bytes] | None:
        """Channel and bytes that the container wrote; None at the end."""
        while True:
            message = await self._socket.receive()
            if message.type in _ENDS:
                return None
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                return message.data[0], message.data[1:]

    async def send(self, data: bytes) -> None:
        """Writes to its stdin. Raises ConnectionError."""
        await self._socket.send_bytes(bytes([STDIN]) + data)

    async def close_stdin(self) -> None:
        """Closes its stdin. Raises ConnectionError."""
        await self._socket.send_bytes(bytes([_CLOSE, STDIN]))

    async def close(self) -> None:
        """Ends the connection."""
        await self._socket.close()


class Pods:
    """See the module. Every method raises errors.ApiError."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    async def create(self, namespace: str, pod: JsonObject) -> None:
        """Raises AlreadyExists, Forbidden."""
        await self._connection.send(Request("POST", _path(namespace), {}, msgspec.json.encode(pod)))

    async def watch(self, namespace: str, name: str) -> AsyncGenerator[bytes | None, None]:
        """The pod as it is now and after each change, as JSON; None: it is gone. Ends after some minutes."""
        try:
            found = await self._connection.send(Request("GET", f"{_path(namespace)}/{name}", {}))
        except NotFound:
            yield None
            return
        yield found
        version = msgspec.json.decode(found)["metadata"]["resourceVersion"]
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        async with aclosing(self._connection.stream(Request("GET", _path(namespace), query))) as lines:
            async for line in lines:
                event = msgspec.json.decode(line, type=_Event)
                if event.type == "ERROR":
                    return
                yield None if event.type == "DELETED" else bytes(event.object)
                if event.type == "DELETED":
                    return

    async def delete(self, namespace: str, name: str, grace: int) -> None:
        """Deletes it; one that is gone is fine. `grace`: seconds between SIGTERM and SIGKILL."""
        body = msgspec.json.encode({"gracePeriodSeconds": grace})
        try:
            await self._connection.send(Request("DELETE", f"{_path(namespace)}/{name}", {}, body))
        except NotFound:
            return

    async def attach(self, namespace: str, name: str, container: str) -> Attached:
        """The streams of a running container."""
        query = {"container": container, "stdin": "true", "stdout": "true", "stderr": "true"}
        request = Request("GET", f"{_path(namespace)}/{name}/attach", query)
        return Attached(await self._connection.socket(request, PROTOCOL))


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"
