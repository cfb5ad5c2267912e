"""SIGKILL of the installed program while a container works: it goes on, and its own journal shows one start."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.json import JsonObject
from tests.crash.test_kill import Process
from tests.parts.podman import BUSYBOX
from tests.story.containers import podman_or_skip

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("podman")]
SECONDS = 60.0
SCRIPT = """
echo started >> /kubechain/artifacts/journal
echo printed
until [ -e /kubechain/artifacts/go ]; do sleep 0.05; done
rm /kubechain/artifacts/go
cat /kubechain/artifacts/journal
"""


def manifests(base_url: str) -> JsonObject:
    def made(kind: str, name: str, spec: JsonObject) -> JsonObject:
        version = "kubechain.humanlayer.dev/v1alpha1"
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}

    container: JsonObject = {"image": BUSYBOX, "command": ["sh", "-c", SCRIPT]}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            made("LLM", "m", {"provider": "ollama", "parameters": {"model": "m", "baseURL": base_url}}),
            made("Tool", "box", {"container": container}),
            made("Agent", "a", {"llmRef": {"name": "m"}, "tools": [{"name": "box"}]}),
            made("Task", "t", {"agent": "a", "userMessage": "Use the box tool"}),
            made("TaskRun", "r", {"task": "t"}),
        ],
    }


@pytest.mark.parametrize("kills", [1, 3])
async def test_a_container_survives_a_kill_of_the_program_and_is_started_once(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman_or_skip(monkeypatch)
    process = Process(tmp_path / "state")
    async with ScriptedModel() as model:
        await process.start()
        try:
            await process.kubectl("apply", "-f", "-", stdin=json.dumps(manifests(model.base_url)))
            folder = await journal_of(tmp_path / "state" / "containers")
            for _ in range(kills):
                await process.kill()
                await process.start()
            (folder / "go").touch()
            await process.kubectl("wait", "taskrun/r", "--for=condition=Succeeded", "--timeout=60s")
            (call,) = json.loads(await process.kubectl("get", "toolcalls", "-o", "json"))["items"]
            assert (call["status"]["phase"], call["status"]["attempts"]) == ("Succeeded", 1)
            assert call["status"]["result"].splitlines()[:2] == ["printed", "started"]
            assert "started\nstarted" not in call["status"]["result"]
        finally:
            await process.kill()


async def journal_of(containers: Path) -> Path:
    """The folder of the one container, once that has begun to write its journal."""
    async with asyncio.timeout(SECONDS):
        while not (found := list(containers.glob("*/kubechain/artifacts/journal"))):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a file that appears has no event
    return found[0].parent
