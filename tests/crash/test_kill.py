"""The whole process killed at random moments, fifty times: each run ends in the same transcript."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.json import JsonObject
from tests.story import manifests
from tests.story.conftest import FUNCTIONS
from tests.world import kubectl_command, said

KILLS = 50
SEED = int(os.environ.get("KUBECHAIN_SEED", "20261122"))
SECONDS = 30.0
SCRIPT = """
- match: {turn: 0}
  reply:
    content: Two at once.
    delay: 0.05
    toolCalls: [{name: echo, arguments: {message: one}}, {name: echo, arguments: {message: two}}]
- match: {turn: 1}
  reply: {delay: 0.05, toolCalls: [{name: line, arguments: {message: "three"}}]}
- match: {turn: 2}
  reply: {delay: 0.05, content: "Done: {result}."}
"""
TRANSCRIPT = [
    ("system", "You are a helpful assistant."),
    ("user", "Go."),
    ("assistant", "Two at once."),
    ("tool", "Echo: one"),
    ("tool", "Echo: two"),
    ("assistant", None),
    ("tool", "written"),
    ("assistant", "Done: written."),
]


class Process:
    """`kubechain up` as a user starts it, over one state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.kubeconfig = state / "kubeconfig"

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubechain.cli.main", "up", "--state", str(self.state), "--port", "0",
            "--functions", str(FUNCTIONS),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while b"serves https://" not in (line := await self.process.stdout.readline()):
                assert line, "kubechain up ended before it served"

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            await self.process.wait()

    async def kubectl(self, *words: str, stdin: str = "") -> str:
        command, env = kubectl_command(*words, version="1.32", kubeconfig=self.kubeconfig, home=self.state)
        answer = await said(command, env, stdin)
        assert answer.code == 0, f"kubectl {' '.join(words)}: {answer.err}"
        return answer.out


def line_tool(journal: Path) -> str:
    return manifests.function_tool("line", "meeting:write_line", effect="Idempotent").replace(
        'entrypoint: "meeting:write_line"',
        f'entrypoint: "meeting:write_line", env: [{{name: JOURNAL, value: "{journal}"}}]',
    )


@pytest.mark.timeout(900)
async def test_fifty_random_kills_each_end_in_the_same_transcript(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    process, journal = Process(tmp_path / "state"), tmp_path / "journal"
    async with ScriptedModel(load(SCRIPT)) as model:
        await process.start()
        await process.kubectl(
            "apply", "-f", "-",
            stdin="\n---\n".join([
                manifests.SECRET,
                manifests.llm("gpt", "openai", model.base_url),
                manifests.function_tool("echo", "kubechain.samples.echo:simple_echo"),
                line_tool(journal),
                manifests.agent("helper", "gpt", "[{name: echo}, {name: line}]"),
                manifests.task("job", "helper", "Go."),
            ]),
        )  # fmt: skip
        await process.kubectl("wait", "task/job", "--for=condition=Ready", "--timeout=20s")
        for n in range(KILLS):
            await process.kubectl("create", "-f", "-", stdin=manifests.run(f"run-{n}", "job"))
            await asyncio.wait_for(_moment(chance.uniform(0, 0.3)), SECONDS)
            await process.kill()
            await process.start()
            await process.kubectl("wait", f"taskrun/run-{n}", "--for=condition=Succeeded", "--timeout=30s")
        finished = await process.kubectl("get", "taskrun", "-o", "json")
        calls = await process.kubectl("get", "toolcalls", "-o", "name")
        await process.kill()
    print(f"seed {SEED}")
    assert transcripts(finished) == [TRANSCRIPT] * KILLS
    assert len(calls.splitlines()) == 3 * KILLS
    asked = Counter(_question(request) for request in model.requests)
    assert sum(asked.values()) <= 3 * KILLS + KILLS, "a kill repeats at most the one call that was in flight"


async def _moment(seconds: float) -> None:
    """The random moment of the kill: not a wait for anything."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    loop.call_later(seconds, reached.set_result, None)
    await reached


def transcripts(document: str) -> list[list[tuple[str, str | None]]]:
    import json

    return [
        [(m["role"], m.get("content")) for m in run["status"]["messages"]] for run in json.loads(document)["items"]
    ]


def _question(request: JsonObject) -> int:
    messages = request["messages"]
    return len(messages) if isinstance(messages, list) else 0
