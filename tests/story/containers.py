"""What tests of container tools share: a Tool with a script in an image of busybox, and a model that calls it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.providers.tools.container.engine import Engines
from kubechain.providers.tools.container.local import LocalContainers
from kubechain.resources.effect import Effect
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.tool import Tool, ToolSpec
from kubechain.resources.tool_container import ContainerTool
from tests.parts.cache import PartMissing
from tests.parts.podman import BUSYBOX, Podman, cannot, ready
from tests.story.asked import meta


def podman_or_skip(monkeypatch: pytest.MonkeyPatch) -> Podman:
    """podman, to which this process leads the engines that it asks."""
    if why := cannot():
        pytest.skip(why)
    try:
        podman = ready()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    for name, value in podman.environment.items():
        monkeypatch.setenv(name, value)
    return podman


def containers(folder: Path, engine: str = "podman") -> LocalContainers:
    return LocalContainers(Engines(engine), folder / "containers")


def shell(script: str, *, timeout: str = "60s", effect: Effect | None = None, **more: object) -> Tool:
    """A tool that runs a script in a container; `more`: other members of spec.container."""
    told = ContainerTool(image=str(more.pop("image", BUSYBOX)), command=["sh", "-c", script], **more)  # type: ignore[arg-type]
    return Tool(metadata=meta("box"), spec=ToolSpec(container=told, timeout=timeout, effect=effect))


class Gives:
    """A model that calls the first tool it is offered, once, with these arguments, and answers with the result."""

    def __init__(self, arguments: str = "{}") -> None:
        self._arguments = arguments

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        if messages[-1].role == "tool":
            return Reply(Message(role="assistant", content=messages[-1].content))
        function = FunctionCall(name=tools[0].name, arguments=self._arguments)
        return Reply(Message(role="assistant", tool_calls=[RequestedCall(id="call_1", function=function)]))

    async def check(self, endpoint: Endpoint) -> str:
        return "ready"

    async def close(self) -> None:
        return None
