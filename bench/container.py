"""The row `container` of bench/tools.py: a container of podman, started by hand and through KubeChain's runner.

Needs podman as `python -m tests.parts.podman` installs it. Each container prints one line and ends. All are
removed at the end, since KubeChain removes them beside its calls.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from bench.tools import Figure, compared
from kubechain.agents.ports.tool import ToolRun
from kubechain.providers.tools.container.engine import Engines
from kubechain.providers.tools.container.local import LocalContainers
from kubechain.resources.model import ObjectMeta
from kubechain.resources.tool import Tool, ToolSpec
from kubechain.resources.tool_container import ContainerTool
from kubechain.resources.toolcall import ToolCall, ToolCallSpec
from tests.parts.podman import BUSYBOX, ready

CALLS = 20
BARE = (
    "--interactive --network=none --read-only --cap-drop=all --security-opt=no-new-privileges --user=65532:65532 "
    "--memory=512m --cpus=1"
)


async def container() -> Figure:
    """A container from its start to its result."""
    podman = ready()
    os.environ |= podman.environment
    left: list[str] = []
    tool = Tool(
        metadata=ObjectMeta(name="bench", namespace="default"),
        spec=ToolSpec(container=ContainerTool(image=BUSYBOX, command=["echo", "hi"])),
    )
    with tempfile.TemporaryDirectory() as folder:
        runner, ended = LocalContainers(Engines("podman"), Path(folder)), asyncio.Event()
        runner.on_end(lambda uid: ended.set())
        await runner.describe(tool, {})
        number = 0

        async def ours() -> None:
            nonlocal number
            number += 1
            ended.clear()
            meta = ObjectMeta(name="c", uid=f"bench-{os.getpid()}-{number}")
            spec = ToolCallSpec(tool_call_id="c", task_run="r", tool="bench")
            run = ToolRun(ToolCall(metadata=meta, spec=spec), tool, 60.0)
            parked = await runner.start(run)
            await ended.wait()
            assert (await runner.look(run, parked.handle)).text == "hi"  # type: ignore[union-attr]
            left.append(parked.handle.id)

        async def bare() -> None:
            left.append(f"bench-{os.getpid()}-bare-{number}")
            process = await asyncio.create_subprocess_exec(
                "podman", "run", "--name", left[-1], *BARE.split(), BUSYBOX, "echo", "hi",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert (await process.communicate())[0] == b"hi\n"

        try:
            return await compared(bare, ours, most=50.0, calls=CALLS, warm=1)
        finally:
            await runner.close()
            podman("rm", "--force", *left)
