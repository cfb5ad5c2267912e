"""`PodStarter`: starts a tool process in a pod of its own, and ends the pod with it.

Sessions of MCP servers with `run: Pod` use it. A pod's name follows from its MCPServer and the replica, so that
what an earlier life of this replica has left is found and deleted first. It never starts two pods for one server.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from kubechain.agents.naming import pod_name
from kubechain.errors import AlreadyExists, ApiError, Forbidden, Terminal, Transient
from kubechain.providers.tools.pods.manifest import CONTAINER, PodCommand, manifest
from kubechain.providers.tools.pods.port import Pods, Streams
from kubechain.providers.tools.pods.process import PodProcess
from kubechain.providers.tools.pods.state import Over, Runs, Starting, Stuck, state
from kubechain.providers.tools.starting import Command, Starter, ToolProcess
from kubechain.resources.json import JsonObject

TELL_SECONDS = 3.0
"""How long a node may take to say how a container has ended."""
KILLED = Over(-9, "")
Found = TypeVar("Found")


class Placed:
    """A `Starter`: in a pod where the command names one, else by `near`."""

    def __init__(self, near: Starter, pods: PodStarter | None) -> None:
        self._near = near
        self._pods = pods

    async def __call__(self, command: Command, stdin: bool | socket.socket = False) -> ToolProcess:
        """Raises Terminal, Transient, OSError."""
        if command.pod is None:
            return await self._near(command, stdin)
        if self._pods is None:
            raise Terminal(
                "cannot be started in a pod: pods need a cluster, and this is not one; set spec.run to Process",
                reason="NoCluster",
            )
        return await self._pods(command.pod)


class PodStarter:
    """Starts pods as the replica `holder`."""

    def __init__(self, pods: Pods, holder: str) -> None:
        self._pods = pods
        self._holder = holder

    async def __call__(self, command: PodCommand) -> PodProcess:
        """Its process, attached to. Waits for as long as the pod takes to run; the caller sets the deadline.

        Raises Terminal (no right to make pods, an image that cannot be pulled), Transient (the API server).
        """
        namespace, name = command.namespace, pod_name(command.owner, command.uid, self._holder)
        try:
            streams = await self._attached(namespace, name, manifest(command, name))
        except Forbidden as error:
            raise Terminal(
                f"needs rights on pods in namespace {namespace}: install the operator with "
                f"`kubechain install --mcp-pods` ({error})",
                reason="PodsForbidden",
            ) from None
        except ApiError as error:
            raise Transient(f"cannot be started in a pod: {error}", reason="PodFailed") from None
        return PodProcess(
            streams, lambda by_itself: self._ended(namespace, name, by_itself), limited=bool(command.limits)
        )

    async def _attached(self, namespace: str, name: str, pod: JsonObject) -> Streams:
        """The streams of the running pod. A pod that nobody could attach to is deleted."""
        try:
            await self._create(namespace, name, pod)
            await self._running(namespace, name)
            return await self._pods.attach(namespace, name, CONTAINER)
        except BaseException:
            await asyncio.shield(self._quietly_deleted(namespace, name))
            raise

    async def _create(self, namespace: str, name: str, pod: JsonObject) -> None:
        """Makes the pod. One of the same name is of an earlier life, and is deleted first."""
        try:
            await self._pods.create(namespace, pod)
        except AlreadyExists:
            await self._pods.delete(namespace, name, 0)
            await self._until(namespace, name, lambda found: True if found is None else None)
            await self._pods.create(namespace, pod)

    async def _running(self, namespace: str, name: str) -> None:
        """Waits until it runs. Raises Terminal if it cannot, Transient if it has ended."""

        def runs(found: bytes | None) -> bool | None:
            match state(found, CONTAINER) if found is not None else Over(0, "it was deleted"):
                case Runs():
                    return True
                case Stuck(why):
                    raise Terminal(f"cannot be started in pod {name}: {why}", reason="PodStuck")
                case Over(code, why):
                    raise Transient(f"has ended in pod {name} with code {code} {why}".strip(), reason="PodFailed")
                case Starting():
                    return None

        await self._until(namespace, name, runs)

    async def _ended(self, namespace: str, name: str, by_itself: bool) -> Over:
        """How the container has ended, where it has by itself; then, or otherwise, the pod is deleted."""
        try:
            if by_itself:
                async with asyncio.timeout(TELL_SECONDS):
                    return await self._until(namespace, name, _over)
        except TimeoutError:
            pass
        finally:
            await asyncio.shield(self._pods.delete(namespace, name, 0 if by_itself else 1))
        return KILLED

    async def _quietly_deleted(self, namespace: str, name: str) -> None:
        try:
            await self._pods.delete(namespace, name, 0)
        except ApiError:
            return

    async def _until(self, namespace: str, name: str, holds: Callable[[bytes | None], Found | None]) -> Found:
        """Watches the pod until `holds` gives something."""
        while True:
            async with aclosing(self._pods.watch(namespace, name)) as states:
                async for found in states:
                    if (seen := holds(found)) is not None:
                        return seen


def _over(found: bytes | None) -> Over | None:
    last = state(found, CONTAINER) if found is not None else KILLED
    return last if isinstance(last, Over) else None
