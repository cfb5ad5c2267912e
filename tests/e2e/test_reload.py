"""What was missing or has changed outside of the API is found again: `kubechain reload` has it checked at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Program

TOOL = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {name: greet}
spec: {function: {entrypoint: "greeting:greet"}}
"""
SERVER = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {name: sums}
spec: {transport: stdio, command: COMMAND}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "functions").mkdir()
    running = Program(tmp_path)
    running.ok("up", "--detach", "--port", "0", "--bare", "--functions", str(tmp_path / "functions"))
    try:
        yield running
    finally:
        running.ok("down")


def told(program: Program, what: str, path: str) -> str:
    return program.ok("get", *what.split("/"), "-o", f"jsonpath={path}")


def test_a_module_that_comes_and_changes_is_found_after_a_reload(program: Program) -> None:
    module = program.home / "functions" / "greeting.py"
    program.ok("apply", "-f", "-", stdin=TOOL)
    program.ok("wait", "tool/greet", "--for=jsonpath={.status.status}=Error")
    for words in ("Says hello.", "Says good-bye."):
        module.write_text(f'def greet() -> str:\n    """{words}"""\n    return "{words}"\n')
        assert program.ok("reload", "tool/greet") == "tool.kubechain.humanlayer.dev/greet reloading\n"
        program.ok("wait", "tool/greet", f"--for=jsonpath={{.status.description}}={words}")
    assert told(program, "tool/greet", "{.status.ready}") == "true"


def test_a_server_whose_program_comes_and_changes_is_started_anew_after_a_reload(program: Program) -> None:
    command = program.home / "server"
    program.ok("apply", "-f", "-", stdin=SERVER.replace("COMMAND", str(command)))
    program.ok("wait", "mcpserver/sums", "--for=jsonpath={.status.status}=Error")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kubechain.samples.mcp_server\n')
    command.chmod(0o755)
    program.ok("reload")
    program.ok("wait", "mcpserver/sums", "--for=condition=Ready")
    command.write_text("#!/bin/sh\necho gone wrong >&2\nexit 3\n")
    program.ok("reload")
    program.ok("wait", "mcpserver/sums", "--for=condition=Ready=False")
    assert "gone wrong" in told(program, "mcpserver/sums", "{.status.statusDetail}")
