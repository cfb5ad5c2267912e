"""The program as such: help that teaches, exit codes, the samples it ships."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import click
import pytest

from kubechain import __version__
from kubechain.cli import exits
from kubechain.cli.document import manifests, read
from kubechain.cli.main import kubechain as program
from kubechain.resources.json import JsonObject
from tests.unit.cli.recorded import kubechain

ROOT = Path(__file__).parents[3]
COMMANDS = program.list_commands(click.Context(program))
HEAVY = (
    "rich",
    "aiohttp",
    "msgspec",
    "yaml",
    "mcp",
    "cryptography",
    "uvicorn",
    "starlette",
    "kubechain.app",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert kubechain(command, "--help") == 0
    body = capsys.readouterr().out.split("\n", 1)[1]
    assert f"kubechain {command}" in body


def test_the_help_lists_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubechain("--help") == 0
    out = capsys.readouterr().out
    assert all(f"  {command} " in out for command in COMMANDS)
    assert all(meaning in out for meaning in exits.MEANINGS.values())


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubechain("--version") == 0
    assert capsys.readouterr().out == f"kubechain {__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["get"], ["apply"], ["up", "--port", "x"], ["wait", "a/b"], ["wait", "--for=delete"]]
)
def test_a_command_line_that_cannot_be_used_is_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain(*words) == exits.USAGE
    assert "Usage: kubechain" in capsys.readouterr().err


def test_a_command_that_reads_loads_nothing_heavy() -> None:
    script = "import sys, kubechain.cli.main, kubechain.cli.get; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert [name for name in HEAVY if name in loaded.stdout.split()] == []


def samples() -> dict[str, JsonObject]:
    folder = files("kubechain.samples") / "walkthrough"
    found = [o for f in folder.iterdir() for o in manifests(f.read_text("utf-8"), f.name)]
    return {str(obj["kind"]): obj for obj in found}


def test_every_folder_that_the_help_names_exists_and_can_be_applied() -> None:
    context = click.Context(program)
    helps = [command.help or "" for name in COMMANDS if (command := program.get_command(context, name))]
    folders = {Path(found) for text in helps for found in re.findall(r"kubechain-example/[\w./-]*", text)}
    assert folders
    for folder in folders:
        assert list(read([str(ROOT / folder)])), folder


def test_the_walkthrough_in_one_file_is_the_walkthrough() -> None:
    one = [obj for _, obj in read([str(ROOT / "kubechain-example")])]
    assert {str(obj["kind"]): obj for obj in one} == samples()


def test_the_walkthroughs_manifests_are_those_of_the_readme() -> None:
    api_version = "kubechain.humanlayer.dev/v1alpha1"
    system = "You are a helpful assistant. Your job is to help the user with their tasks.\n"
    key: JsonObject = {"secretKeyRef": {"name": "openai", "key": "OPENAI_API_KEY"}}
    expected: dict[str, tuple[str, JsonObject]] = {
        "LLM": ("gpt-4o", {"provider": "openai", "apiKeyFrom": key}),
        "Agent": ("my-assistant", {"llmRef": {"name": "gpt-4o"}, "system": system}),
        "Task": (
            "hello-world-task",
            {"agent": "my-assistant", "userMessage": "Say hello to the world using the echo tool"},
        ),
        "TaskRun": ("hello-world-run", {"task": "hello-world-task"}),
    }
    assert samples() == {
        kind: {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, (name, spec) in expected.items()
    }
