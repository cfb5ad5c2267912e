"""The stories once more, with the installed program as a process of its own and a real SIGKILL.

The moments are chosen from outside: the model server gets a question, a tool's effect is there and the tool still
at work, a call is first seen. What repeats is counted by the model server and by those whom the tools tell.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.json import JsonObject
from tests.crash.stories import STORIES, CrashStory
from tests.crash.test_kill import Process, transcripts
from tests.crash.verdict import CUT_OFF
from tests.world import kubectl_command

pytestmark = pytest.mark.timeout(240)
SECONDS = 60.0
LINE = '{.metadata.name} {.metadata.uid} {.spec.tool} {.status.phase}{"\\n"}'
TOLD = [story for story in STORIES if not story.takes_long and story.entrypoint == "noting:note"]


def moments(story: CrashStory) -> list[str]:
    """Every question, every tool at work, the first sight of a call, and of one that is at work outside."""
    asked = [f"asked {turn}" for turn in range(len(story.turns) + 1)]
    at_work = [f"ran {tool}" for tool in story.tools if story.policy(tool)]
    outside = [f"seen {tool} Running" for tool in story.tools if not story.policy(tool)]
    return [*asked, *at_work, *(["seen"] if story.turns else []), *outside]


@dataclass
class Killer:
    """Kills the process at the moment it is told to wait for, within the event that is that moment."""

    process: Process
    waits_for: str = ""
    struck: asyncio.Event = field(default_factory=asyncio.Event)

    def aim(self, moment: str) -> None:
        self.waits_for = moment
        self.struck.clear()

    def notice(self, moment: str) -> bool:
        """Whether that was the end."""
        if moment != self.waits_for:
            return False
        self.waits_for = ""
        self.process.process.send_signal(signal.SIGKILL)
        self.struck.set()
        return True


class Questions(deque[JsonObject]):
    """What the model server is asked, noticed before it answers."""

    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self._killer = killer

    def append(self, request: JsonObject) -> None:
        super().append(request)
        self._killer.notice(f"asked {turn_of(request)}")


def turn_of(request: JsonObject) -> int:
    messages = request["messages"]
    assert isinstance(messages, list)
    return sum(isinstance(m, dict) and m["role"] == "assistant" for m in messages)


@dataclass
class Listener:
    """Is told by the tools: the effect is there when their line is, and they go on when they are answered."""

    killer: Killer
    times: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The path of the socket."""
        folder = tempfile.mkdtemp(prefix="kc-")
        try:
            async with await asyncio.start_unix_server(self._hear, f"{folder}/s"):
                yield f"{folder}/s"
        finally:
            shutil.rmtree(folder)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = (await reader.readline()).decode().split()
        if not said:  # killed before it spoke: then there is no effect
            writer.close()
            return
        key, message = said
        self.times[key] += 1
        struck = self.killer.notice(f"ran {message}")
        if self.killer.waits_for.startswith("seen"):
            await self.killer.struck.wait()
        with suppress(ConnectionError):
            if not struck:
                writer.write(b"!")
                await writer.drain()
        writer.close()


@dataclass
class Drama:
    """One story, played over and over by one process that is killed each time."""

    story: CrashStory
    process: Process
    killer: Killer
    listener: Listener
    leave: Counter[str] = field(default_factory=Counter)
    """By uid: calls that the operator let be repeated."""

    async def apply(self, *manifests: JsonObject) -> None:
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        await self.process.kubectl("apply", "-f", "-", stdin=document)

    async def until_killed(self, run: str, moment: str) -> None:
        """Starts a run and kills the program at that moment of it."""
        self.killer.aim(moment)
        async with self._operator(run):
            await self.apply(self.story.run(run))
            await asyncio.wait_for(self.killer.struck.wait(), SECONDS)
        await self.process.process.wait()

    async def until_finished(self, run: str) -> None:
        async with self._operator(run):
            await self.process.kubectl("wait", f"taskrun/{run}", "--for=condition=Succeeded", "--timeout=60s")

    @asynccontextmanager
    async def _operator(self, run: str) -> AsyncIterator[None]:
        """Someone who looks after the calls of the run meanwhile, with kubectl."""
        looking = asyncio.create_task(self._look_after(run))
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _look_after(self, run: str) -> None:
        command, env = kubectl_command(
            "get", "toolcalls", "-w", "-l", f"kubechain.humanlayer.dev/taskrun={run}", "-o", f"jsonpath={LINE}",
            version="1.32", kubeconfig=self.process.kubeconfig, home=self.process.state,
        )  # fmt: skip
        kubectl = await asyncio.create_subprocess_exec(
            *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert kubectl.stdout is not None
        try:
            while line := (await kubectl.stdout.readline()).decode():
                await self._see(*[*line.split(), ""][:4])
        finally:
            with suppress(ProcessLookupError):
                kubectl.kill()
            await kubectl.wait()

    async def _see(self, name: str, uid: str, tool: str, phase: str) -> None:
        if self.killer.notice("seen") or self.killer.notice(f"seen {tool} {phase}"):
            return
        outside = phase == "Running" and not self.story.policy(tool)
        if not outside and phase != "OutcomeUnknown":
            return
        known = outside or self.listener.times[uid] > 0
        self.leave[uid] += not known
        status = {"phase": "Succeeded", "result": f"noted {tool}"} if known else {"phase": "Pending"}
        merge = json.dumps({"status": status})
        try:
            await self.process.kubectl(
                "patch", "toolcall", name, "--subresource=status", "--type=merge", "-p", merge
            )
        except AssertionError:
            assert self.killer.struck.is_set(), "only a program that was killed meanwhile does not take it"

    async def ending(self, run: str) -> Ending:
        label = f"kubechain.humanlayer.dev/taskrun={run}"
        found = await self.process.kubectl("get", "taskrun", run, "-o", "json")
        calls = json.loads(await self.process.kubectl("get", "toolcalls", "-l", label, "-o", "json"))["items"]
        segments = await self.process.kubectl("get", "transcriptsegments", "-o", "json")
        mine = [s["spec"] for s in json.loads(segments)["items"] if s["spec"]["taskRun"] == run]
        before = [(m["role"], m.get("content")) for s in sorted(mine, key=_first) for m in s["messages"]]
        (window,) = transcripts(json.dumps({"items": [json.loads(found)]}))
        specs = [call["spec"] | {"taskRun": ""} for call in calls]
        return Ending([*before, *window], sorted(specs, key=str), calls)


def _first(segment: dict[str, Any]) -> int:
    return int(segment.get("first", 0))


@dataclass(frozen=True)
class Ending:
    """How a run ended: its whole transcript, the specs of its calls, and the calls themselves."""

    transcript: list[tuple[str, str | None]]
    children: list[dict[str, Any]]
    calls: list[dict[str, Any]]

    def told(self, failing: str) -> list[tuple[str, str | None]]:
        """The transcript, as it reads whether that tool was cut off or not."""
        return [
            (role, text.replace(CUT_OFF, f"noted {failing}") if text else text) for role, text in self.transcript
        ]


@pytest.mark.parametrize("story", TOLD, ids=lambda story: story.name)
async def test_a_run_killed_with_sigkill_ends_as_if_nothing_had_happened(
    story: CrashStory, tmp_path: Path
) -> None:
    killer = Killer(process := Process(tmp_path / "state"))
    drama = Drama(story, process, killer, Listener(killer))
    necessary = Counter(range(len(story.turns) + 1))
    async with drama.listener.open() as socket, ScriptedModel(story.script) as model:
        model.requests = Questions(killer)
        await process.start()
        try:
            await drama.apply(*story.manifests(model.base_url, socket, "noting:tell"))
            await process.kubectl("wait", "task/job", "--for=condition=Ready", "--timeout=30s")
            await drama.apply(story.run("clean"))
            await drama.until_finished("clean")
            clean = await drama.ending("clean")
            assert Counter(map(turn_of, model.requests)) == necessary
            for number, moment in enumerate(moments(story)):
                model.requests.clear()
                await drama.until_killed(run := f"run-{number}", moment)
                await process.start()
                await drama.until_finished(run)
                ended = await drama.ending(run)
                print(f"killed at {moment!r}")
                assert (ended.told("never"), ended.children) == (clean.told("never"), clean.children)
                _counted(drama, ended)
                asked = Counter(map(turn_of, model.requests))
                assert asked >= necessary
                assert asked.total() <= necessary.total() + 1, "a kill repeats at most the question in flight"
        finally:
            await process.kill()


def _counted(drama: Drama, ended: Ending) -> None:
    for call in ended.calls:
        tool, uid = call["spec"]["tool"], call["metadata"]["uid"]
        times = drama.listener.times[uid]
        match drama.story.policy(tool):
            case "Retry":
                assert 1 <= times <= 2
            case "Fail":
                assert times == 1 or call["status"]["phase"] == "Failed"
            case "Ask":
                assert times == 1 + drama.leave[uid] or times == 1
            case "":
                assert times == 0
