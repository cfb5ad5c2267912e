"""The program killed while its task runs at a remote MCP server: it goes on with it, and starts no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubechain.providers.models.scripted.script import load
from kubechain.providers.models.scripted.server import ScriptedModel
from tests.crash.test_kill import Process, transcripts
from tests.parts.cache import PartMissing
from tests.parts.fastmcp_tasks import TaskServer, folder
from tests.story import manifests

pytestmark = pytest.mark.timeout(240)
SCRIPT = """
- match: {turn: 0}
  reply: {toolCalls: [{name: far__crunch, arguments: {message: numbers}}]}
- match: {turn: 1}
  reply: {content: "Done: {result}."}
"""


def far(url: str) -> str:
    return f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {{name: far}}
spec: {{transport: http, url: "{url}", allowPrivate: true}}
"""


async def test_a_task_at_a_remote_server_is_gone_on_with_after_a_kill_and_is_started_once(tmp_path: Path) -> None:
    try:
        folder()
    except PartMissing as missing:
        pytest.skip(str(missing))
    process = Process(tmp_path / "state")
    async with ScriptedModel(load(SCRIPT)) as model, TaskServer(tmp_path) as tasks:
        await process.start()
        try:
            await process.kubectl(
                "apply", "-f", "-",
                stdin="\n---\n".join([
                    manifests.SECRET,
                    manifests.llm("gpt", "openai", model.base_url),
                    far(tasks.url),
                    manifests.agent("helper", "gpt", servers="[{name: far}]"),
                    manifests.task("job", "helper", "Go."),
                    manifests.run("run", "job"),
                ]),
            )  # fmt: skip
            await process.kubectl("wait", "taskrun/run", "--for=jsonpath={.status.turns}=1", "--timeout=60s")
            parked = "--for=jsonpath={.status.external.id}"
            await process.kubectl("wait", "toolcalls", "--all", parked, "--timeout=60s")
            await process.kill()
            tasks.go()
            await process.start()
            await process.kubectl("wait", "taskrun/run", "--for=condition=Succeeded", "--timeout=60s")
            finished = await process.kubectl("get", "taskrun", "-o", "json")
        finally:
            await process.kill()
        journal = tasks.lines()
    assert transcripts(finished)[0][-1] == ("assistant", "Done: crunched numbers.")
    assert journal == ["begun"]
