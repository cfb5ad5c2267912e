"""`kubechain down` lets calls in progress finish, names those that cannot, and continues with the rest later."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.program import Program

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: openai}\nstringData: {OPENAI_API_KEY: any}\n"
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
"""
UP = ("up", "--port", "0", "--bare")


@dataclass
class Held:
    """A KubeChain in the foreground, whose run `asked` has a tool at work until `gate` is there."""

    program: Program
    up: subprocess.Popen[str]
    gate: Path

    def line_with(self, words: str) -> str:
        """The next line of `kubechain up` that has these words."""
        assert self.up.stdout is not None
        for line in self.up.stdout:
            if words in line:
                return line
        raise AssertionError(f"it ended and never said {words!r}")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    (tmp_path / "functions").mkdir()
    gate = tmp_path / "gate"
    (tmp_path / "functions" / "holding.py").write_text(HOLD.format(gate=str(gate)))
    program = Program(tmp_path)
    up = program.start(*UP, "--model", "scripted", "--functions", str(tmp_path / "functions"))
    one = Held(program, up, gate)
    try:
        one.line_with("First steps")
        program.ok("apply", "-f", "-", stdin=f"{SECRET}---{MANIFESTS}")
        program.ok("wait", "agent/holder", "--for=condition=Ready")
        program.ok("run", "holder", "Use the hold tool", "--name", "asked")
        program.ok("wait", "toolcall", "--for=create", "--all")
        program.ok("wait", "toolcall", "--all", "--for=jsonpath={.status.phase}=Running")
        yield one
    finally:
        gate.touch()
        program.ok("down")
        up.kill()
        up.communicate()


def call(program: Program) -> list[str]:
    """Phase, number of starts and result of the one tool call."""
    columns = "-ocustom-columns=P:.status.phase,A:.status.attempts,R:.status.result"
    return program.ok("get", "toolcall", "--no-headers", columns).split(maxsplit=2)


def test_a_call_in_progress_ends_and_its_run_continues_with_the_next_start(held: Held) -> None:
    program = held.program
    down = program.start("down", "--grace", "50s")
    assert "up to 50s for 1 of the runs" in (line := held.line_with("Stopping."))
    assert line.endswith(": default/asked (tool hold)\n")
    held.gate.touch()
    said, _ = down.communicate(timeout=60)
    assert "Interrupted" not in said
    assert "`kubechain up` continues where it stopped." in said
    program.ok(*UP, "--detach")
    program.ok("wait", "taskrun/asked", "--for=condition=Succeeded")
    assert call(program) == ["Succeeded", "1", "let go\n"]


def test_what_cannot_end_within_the_grace_is_named_and_waits_for_a_person(held: Held) -> None:
    program = held.program
    logs = program.start("logs", "taskrun/asked", "-f")
    assert program.ok("down", "--grace", "200ms").startswith("Interrupted: default/asked (tool hold)\n")
    held.gate.touch()
    program.ok(*UP, "--detach")
    program.ok("wait", "toolcall", "--all", "--for=jsonpath={.status.phase}=OutcomeUnknown")
    program.ok("settle", "--all", "--result", "let go by a person")
    program.ok("wait", "taskrun/asked", "--for=condition=Succeeded")
    assert call(program) == ["Succeeded", "1", "let go by a person\n"]
    told, _ = logs.communicate(timeout=60)
    assert logs.returncode == 0
    for once in (
        "calls hold {}",
        "for it to come back",
        "answers again",
        "hold: let go by a person",
        "FinalAnswer after",
    ):
        assert told.count(once) == 1, told
    assert program.ok("down").startswith("KubeChain on"), "nothing was interrupted this time"


def test_a_second_ctrl_c_ends_it_at_once(held: Held) -> None:
    held.up.send_signal(signal.SIGINT)
    held.line_with("Stopping. Waiting up to 30s")
    held.up.send_signal(signal.SIGINT)
    held.up.communicate(timeout=20)
    assert held.up.returncode == 0
    assert held.program("status").returncode == 3
