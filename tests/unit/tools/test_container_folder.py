"""The folder of one container: what podman's log says that it printed."""

from __future__ import annotations

from pathlib import Path

from kubechain.providers.tools.container.folder import CallFolder

TIME = b"2026-12-01T12:30:39.49+00:00"


def test_the_log_of_podman_gives_back_what_was_printed_by_stream(tmp_path: Path) -> None:
    folder = CallFolder(tmp_path)
    lines = [b"stdout F one", b"stderr F words", b"stdout P tw", b"stdout P o", b"stdout F ", b"stdout P end"]
    folder.log.write_bytes(b"".join(TIME + b" " + line + b"\n" for line in lines))
    assert folder.printed() == (b"one\ntwo\nend", b"words\n")


def test_an_engine_without_such_a_log_has_printed_nothing_in_it(tmp_path: Path) -> None:
    assert CallFolder(tmp_path).printed() == (b"", b"")
