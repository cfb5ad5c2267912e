"""The demo spends an API key only where somebody has said so."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kubechain.cli.demo import key_to_spend
from kubechain.cli.exits import CommandError


@contextmanager
def terminal() -> Iterator[int]:
    """A terminal for stdin and stdout; the end that a person types on."""
    person, program = pty.openpty()
    with os.fdopen(os.dup(program)) as typed, os.fdopen(program, "w") as shown:
        before, sys.stdin, sys.stdout = (sys.stdin, sys.stdout), typed, shown
        try:
            yield person
        finally:
            sys.stdin, sys.stdout = before
    os.close(person)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.example/v1")


@pytest.mark.parametrize(("answer", "spent"), [("y", "sk-mine"), ("n", ""), ("", "")])
def test_on_a_terminal_a_person_is_asked_and_silence_is_a_no(answer: str, spent: str) -> None:
    with terminal() as person:
        os.write(person, f"{answer}\n".encode())
        assert key_to_spend(None) == spent


def test_where_nobody_can_be_asked_no_key_is_spent_unless_the_command_line_says_so() -> None:
    assert [key_to_spend(real) for real in (None, False, True)] == ["", "", "sk-mine"]


def test_a_key_that_is_not_there_cannot_be_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert key_to_spend(None) == ""
    with pytest.raises(CommandError, match="set OPENAI_API_KEY"):
        key_to_spend(True)
