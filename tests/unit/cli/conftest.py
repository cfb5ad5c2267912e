"""What the tests of the commands stand on: an API that answers as recorded, and a kubeconfig that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.recorded import RecordedApi, serving, write_kubeconfig


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedApi]:
    with serving() as recorded:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", recorded.url)))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield recorded
