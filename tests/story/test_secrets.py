"""A secret goes to the provider that needs it and nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kubechain.resources.registry import ALL
from tests.story import manifests
from tests.story.conftest import FUNCTIONS
from tests.story.program import conversation, story

KEY = "sk-very-secret-0123456789"
OURS_IN_ENVIRONMENT = "sk-of-the-operator-itself"


async def test_no_secret_shows_in_status_events_logs_or_a_tools_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OURS_IN_ENVIRONMENT)
    async with story(tmp_path, functions=(FUNCTIONS,)) as running:
        await running.apply(
            manifests.SECRET.replace("sk-test-0123456789", KEY),
            manifests.walkthrough()["llm"],
            manifests.function_tool("look-around", "meeting:look_around"),
            manifests.agent("helper", "gpt-4o", "[{name: look-around}]"),
            manifests.task("look", "helper", "Say what you see using the look-around tool"),
            manifests.run("look-run", "look"),
        )
        run = await running.finished("look-run")
        await running.program.loops.events.flush()
        objects = [
            document
            for kind in ALL
            if kind.plural != "secrets"
            for document in (await running.program.api.list(kind.raw)).items
        ]
    seen = next(text for role, text in conversation(run) if role == "tool")
    assert "PATH=" in seen
    logged = "".join(capfd.readouterr())
    for secret in (KEY, OURS_IN_ENVIRONMENT):
        assert secret not in seen
        assert not [d for d in objects if secret.encode() in d]
        assert secret not in logged


async def test_a_token_is_required_and_only_loopback_is_listened_on(tmp_path: Path) -> None:
    import aiohttp

    async with story(tmp_path) as running:
        url = running.program.running.url
        assert url.startswith("https://127.0.0.1:")
        listening = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
                     if line.split()[3] == "0A"}  # fmt: skip
        port = f"{running.program.running.port:04X}"
        assert {a.split(":")[0] for a in listening if a.endswith(f":{port}")} == {"0100007F"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http:
            for headers, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401)):
                async with http.get(f"{url}/api/v1/namespaces", headers=headers) as answer:
                    assert answer.status == status
            async with http.get(f"{url}/healthz") as answer:
                assert answer.status == 200


async def test_what_is_kept_in_the_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with story(tmp_path) as running:
        state = running.kubeconfig.parent
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        for name in ("kubeconfig", "token", "signing-key", "tls/ca.key", "tls/server.key"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
