"""The reference MCP servers over stdio, all six used by one run, embedded and over a real Kubernetes."""

from __future__ import annotations

import asyncio
import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubechain.providers.models.scripted.script import Match, Rule, ScriptedCall, ScriptedReply
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.toolcall import TOOL_CALLS
from tests.parts.cache import PartMissing
from tests.parts.mcpservers import ServerProgram, from_npm, from_pypi, packages
from tests.parts.node import modules
from tests.story import manifests
from tests.story.conftest import Begin

pytestmark = pytest.mark.timeout(240)
SECONDS = 120


@pytest.fixture
def parts() -> None:
    try:
        modules(), packages()
    except PartMissing as missing:
        pytest.skip(f"the reference servers cannot be installed: {missing}")


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a page to fetch."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><body><article><h1>Moon</h1><p>It has no capital.</p></article></body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=functools.partial(server.serve_forever, 0.05), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/moon"
        server.shutdown()


def repository(folder: Path) -> Path:
    """A git repository with one commit."""
    folder.mkdir()
    for words in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "Ada"],
        ["config", "user.email", "ada@example.com"],
        ["commit", "-q", "--allow-empty", "-m", "The first commit"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=30)
    return folder


def manifest(name: str, program: ServerProgram) -> str:
    spec = {
        "transport": "stdio",
        "command": program.command,
        "args": list(program.args),
        "env": [{"name": key, "value": value} for key, value in program.env.items()],
        "startTimeout": "2m",
        "resources": {"limits": {"memory": "1Gi"}},
    }
    if name == "everything":
        spec["tools"] = {"allow": ["echo", "get-sum"], "prefix": "all_"}
    document = {"apiVersion": "kubechain.humanlayer.dev/v1alpha1", "kind": "MCPServer"}
    return yaml.safe_dump({**document, "metadata": {"name": name}, "spec": spec})


async def test_a_run_uses_all_six_reference_servers(begin: Begin, tmp_path: Path, parts: None, page: str) -> None:
    files, repo = tmp_path / "files", repository(tmp_path / "repo")
    files.mkdir()
    (files / "note.txt").write_text("The key is under the mat.")
    servers = {
        "everything": from_npm("everything", "stdio"),
        "filesystem": from_npm("filesystem", str(files)),
        "memory": from_npm("memory", MEMORY_FILE_PATH=str(tmp_path / "memory.jsonl")),
        "time": from_pypi("time", "--local-timezone", "UTC"),
        "git": from_pypi("git", "--repository", str(repo)),
        "fetch": from_pypi("fetch", "--ignore-robots-txt", "--allow-private-ips"),
    }
    entity = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
    calls: dict[str, dict[str, object]] = {
        "all_echo": {"message": "over the pipe"},
        "filesystem__read_text_file": {"path": str(files / "note.txt")},
        "memory__create_entities": {"entities": [entity]},
        "time__get_current_time": {"timezone": "Europe/Berlin"},
        "git__git_log": {"repo_path": str(repo)},
        "fetch__fetch": {"url": page, "raw": True},  # else it has npm install a package
    }
    asked = [ScriptedCall(name=name, arguments=arguments) for name, arguments in calls.items()]
    script = [
        Rule(match=Match(turn=0), reply=ScriptedReply(tool_calls=asked)),
        Rule(match=Match(turn=1), reply=ScriptedReply(content="All six have answered.")),
    ]
    async with ScriptedModel(script) as model, begin() as running:
        await running.apply(*(manifest(name, program) for name, program in servers.items()))
        names = [f"mcpserver/{name}" for name in servers]
        await running.ok("wait", "--for=condition=Ready", f"--timeout={SECONDS}s", *names)
        listed = "[" + ", ".join(f"{{name: {name}}}" for name in servers) + "]"
        await running.apply(
            manifests.SECRET,
            manifests.llm("gpt", "openai", model.base_url),
            manifests.agent("helper", "gpt", servers=listed),
            manifests.task("six", "helper", "Use all of them."),
            manifests.run("six-run", "six"),
        )
        async with asyncio.timeout(SECONDS):
            run = await running.finished("six-run")
        found = (await running.program.api.list(TOOL_CALLS, running.namespace)).items
    assert run.status.output == "All six have answered."
    failed = {call.spec.tool: call.status.error for call in found if call.status.phase != "Succeeded"}
    assert not failed
    said = {call.spec.tool: call.status.result for call in found}
    assert said.keys() == calls.keys()
    assert said["all_echo"] == "Echo: over the pipe"
    assert said["filesystem__read_text_file"] == "The key is under the mat."
    assert "wrote the first program" in said["memory__create_entities"]
    assert "Europe/Berlin" in said["time__get_current_time"]
    assert "The first commit" in said["git__git_log"]
    assert "It has no capital." in said["fetch__fetch"]
    offered = {str(tool["function"]["name"]) for tool in model.requests[0]["tools"]}  # type: ignore[index,union-attr,call-overload]
    assert {name for name in offered if name.startswith("all_")} == {"all_echo", "all_get-sum"}
