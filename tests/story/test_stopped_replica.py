"""An operator that is stopped says what it waits for, and names what did not finish in time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.story import manifests
from tests.world import World, world

pytestmark = pytest.mark.timeout(120)
SECONDS = 60.0
HOLD = '''
import pathlib, time

def hold() -> str:
    """Holds on."""
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.01)
    return "let go"
'''
MANIFESTS = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: LLM
metadata: {name: gpt-4o}
spec: {provider: openai, apiKeyFrom: {secretKeyRef: {name: openai, key: OPENAI_API_KEY}}}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {name: hold}
spec: {function: {entrypoint: "holding:hold"}}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Agent
metadata: {name: holder}
spec: {llmRef: {name: gpt-4o}, system: Hold on., offeredTools: Ignore, tools: [{name: hold}]}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Task
metadata: {name: asked}
spec: {agent: holder, userMessage: Use the hold tool}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: TaskRun
metadata: {name: asked}
spec: {task: asked}
"""


@asynccontextmanager
async def at_work(made: World, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An operator whose only run has a tool at work, until `gate` exists."""
    (made.home / "functions").mkdir()
    (made.home / "functions" / "holding.py").write_text(HOLD.format(gate=str(made.home / "gate")))
    command = [sys.executable, "-m", "kubechain.cli.main", "operator", "--kubeconfig", str(made.kubeconfig)]
    command += ["--model", "scripted", "--functions", str(made.home / "functions"), "--listen", "127.0.0.1:0"]
    environment = os.environ | {"HOME": str(made.home)}
    process = await asyncio.create_subprocess_exec(
        *command,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    try:
        await made.ok("apply", "-f", "-", stdin=f"{manifests.SECRET}\n---\n{MANIFESTS}")
        await made.ok("wait", "taskrun/asked", "--for=jsonpath={.status.turns}=1", "--timeout=25s")
        await made.ok("wait", "toolcall", "--all", "--for=jsonpath={.status.phase}=Running", "--timeout=25s")
        yield process
    finally:
        (made.home / "gate").touch()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stopped(process: asyncio.subprocess.Process) -> str:
    """Everything it said, to its end."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_stopped_operator_names_what_did_not_finish(tmp_path: Path, log_format: str) -> None:
    async with world(tmp_path) as made:
        async with at_work(made, "--drain", "100ms", "--log-format", log_format) as process:
            said = await stopped(process)
    waits = (
        "Stopping. Waiting up to 0.1s for 1 of the runs to finish what they are doing: default/asked (tool hold)"
    )
    for once in (waits, "Interrupted: default/asked (tool hold)", "KubeChain stopped."):
        assert said.count(once) == 1, said


async def test_what_finishes_within_the_drain_is_not_called_interrupted(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        async with at_work(made, "--drain", "50s") as process:
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            async with asyncio.timeout(SECONDS):
                while b"Stopping. Waiting up to 50s" not in (line := await process.stdout.readline()):
                    assert line, "it ended and never said what it waits for"
                (made.home / "gate").touch()
                said, _ = await process.communicate()
        assert b"Interrupted" not in said and process.returncode == 0
        assert (await made.ok("get", "toolcall", "-ojsonpath={.items[*].status.result}")).strip() == "let go"
