"""What the process of a tool can see: the variables of its manifest, and nothing of the program."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.reference import EnvVar
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.story.asked import ask, ended_run, looping, meta
from tests.story.conftest import FUNCTIONS

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


async def test_a_tool_process_has_no_variable_file_or_argument_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "OPENAI_API_KEY", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.setenv(name, "of-the-operator")
    token = tmp_path / "token"
    token.write_text("of-the-operator")
    spec = ToolSpec(
        function=FunctionTool(entrypoint="seeing:look", env=[EnvVar(name="GIVEN", value="1")]), effect="ReadOnly"
    )
    functions = Functions((FUNCTIONS,))
    with token.open() as opened:  # as the program holds a token open
        async with asyncio.timeout(50), Store.open(tmp_path / "store.db", clock=now) as store:
            async with looping(store, runners(functions, MCP())):
                await store.create(TOOLS, Tool(metadata=meta("look"), spec=spec))
                await ask(store, tool="look")
                seen = json.loads((await ended_run(store)).status.output)
        assert not opened.closed
    await functions.close()
    assert set(seen["env"]) <= {"PATH", "HOME", "LANG", "GIVEN"} and seen["env"]["GIVEN"] == "1"
    assert "of-the-operator" not in str(seen)
    kinds = {target.partition(":")[0].partition("/")[0] for target in seen["files"].values()}
    assert str(tmp_path) not in str(seen), "neither its folder nor a file of the program"
    assert kinds <= {"pipe", "socket", "anon_inode", ""}
    assert {t for t in seen["files"].values() if t.startswith("/")} <= {"/dev/null", "/dev/urandom"}, seen["files"]
