"""A state folder keeps what it was started with, so that a later start goes on as before."""

from __future__ import annotations

from pathlib import Path

from kubechain.cli.remembered import Remembered, recall, remember


def test_what_is_remembered_is_recalled_and_can_be_typed(tmp_path: Path) -> None:
    told = Remembered("scripted", 1.5, ("/a", "/b"))
    remember(tmp_path, told)
    assert recall(tmp_path) == told
    assert told.spoken == "--model scripted --model-delay 1.5s --functions /a --functions /b"


def test_a_new_folder_and_a_damaged_file_mean_the_defaults(tmp_path: Path) -> None:
    assert recall(tmp_path) == Remembered()
    assert Remembered().spoken == ""
    for damaged in ("", "[]", '{"model": 1}'):
        (tmp_path / "settings.json").write_text(damaged)
        assert recall(tmp_path) == Remembered()
