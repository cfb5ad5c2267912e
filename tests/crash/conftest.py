"""Fixtures of the crash suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.outside import Journal

FUNCTIONS = Path(__file__).parents[1] / "story" / "functions"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """The tools' journal, and the functions that write it importable here."""
    made = Journal(tmp_path / "journal")
    monkeypatch.setenv("JOURNAL", str(made.path))
    monkeypatch.syspath_prepend(FUNCTIONS)
    return made
