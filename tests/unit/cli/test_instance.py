"""One KubeChain per state folder, found by a lock that the kernel frees however its holder ends."""

from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubechain.cli import instance
from kubechain.cli.instance import Instance, Lock
from kubechain.cli.main import main
from kubechain.errors import SettingsError
from tests.unit.cli.recorded import kubechain, write_kubeconfig

HOLD = """
import os, signal, sys
from pathlib import Path
from kubechain.cli.instance import Instance, Lock
from kubechain.cli.main import main
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with Lock.take(Path(sys.argv[1])) as lock:
    lock.record(Instance(os.getpid(), "1.2.3", "https://127.0.0.1:1", "/k", "A scripted model."))
    print("holding", flush=True)
    sys.stdin.read()
"""
Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Starts a process that holds the lock of `tmp_path`."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=20)


def test_a_second_one_on_the_same_folder_is_told_who_runs_and_what_to_do(tmp_path: Path, hold: Hold) -> None:
    first = hold()
    with pytest.raises(SettingsError, match=rf"pid {first.pid}, https://127.0.0.1:1\): use it, stop it"):
        Lock.take(tmp_path)


def test_what_was_killed_with_minus_9_does_not_run_and_leaves_the_folder_free(tmp_path: Path, hold: Hold) -> None:
    first = hold()
    assert instance.running(tmp_path) == Instance(
        first.pid, "1.2.3", "https://127.0.0.1:1", "/k", "A scripted model."
    )
    first.kill()
    first.wait(20)
    assert (tmp_path / "instance.json").exists()
    assert instance.running(tmp_path) is None
    with Lock.take(tmp_path):
        pass


def test_a_clean_end_leaves_no_record(tmp_path: Path) -> None:
    with Lock.take(tmp_path) as lock:
        lock.record(Instance(1, "1"))
    assert not (tmp_path / "instance.json").exists()


def test_down_asks_politely_first_and_is_content_when_nothing_runs(
    tmp_path: Path, hold: Hold, capsys: pytest.CaptureFixture[str]
) -> None:
    first = hold()
    assert kubechain("down", "--state", str(tmp_path)) == 0
    assert first.wait(20) == -signal.SIGTERM
    assert kubechain("down", "--state", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"KubeChain on {tmp_path} stopped. `kubechain up --state {tmp_path}` continues where it stopped.",
        f"No KubeChain runs on {tmp_path}.",
    ]


def test_down_kills_what_does_not_end_within_the_grace(tmp_path: Path, hold: Hold) -> None:
    first = hold("stubborn")
    assert kubechain("down", "--state", str(tmp_path), "--grace", "200ms") == 0
    assert first.wait(20) == -signal.SIGKILL


def test_status_says_how_to_reach_it_and_exits_with_3_when_nothing_runs(
    tmp_path: Path, hold: Hold, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("status", "--state", str(tmp_path)) == 3
    assert f"start it with `kubechain up --state {tmp_path}`" in capsys.readouterr().out
    first = hold()
    assert kubechain("status", "--state", str(tmp_path), "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "running": True,
        "state": str(tmp_path),
        "pid": first.pid,
        "version": "1.2.3",
        "url": "https://127.0.0.1:1",
        "kubeconfig": "/k",
        "model": "A scripted model.",
    }


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose one with --state"):
        Lock.take(tmp_path / "file" / "state")


@pytest.mark.parametrize("words", [[], ["--detach"]])
def test_up_on_a_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    state = tmp_path / "file" / "state"
    assert kubechain("up", "--port", "0", "--state", str(state), *words) == 1
    said = capsys.readouterr().err
    assert said == f"error: state folder {state} cannot be used (Not a directory): choose one with --state\n"


def test_a_full_disk_is_named_as_what_it_is(tmp_path: Path) -> None:
    said = str(instance.unusable(tmp_path, OSError(errno.ENOSPC, "No space left on device")))
    assert said.startswith(f"the disk of the state folder {tmp_path} is full: free some space")


def test_hints_name_the_state_folder_that_is_not_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert instance.command("down", tmp_path / "kubechain") == "kubechain down"
    assert instance.command("down", tmp_path / "my own") == f"kubechain down --state '{tmp_path}/my own'"


def test_a_server_that_does_not_answer_is_started_where_its_kubeconfig_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").touch()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        write_kubeconfig(other / "kubeconfig", url)
        assert kubechain("get", "taskrun", "--kubeconfig", str(other / "kubeconfig")) == 3
        assert f"start KubeChain with `kubechain up --state {other}`" in capsys.readouterr().err
        write_kubeconfig(tmp_path / "config", url)
        assert kubechain("get", "taskrun", "--kubeconfig", str(tmp_path / "config")) == 3
        assert "start KubeChain with `kubechain up`, or" in capsys.readouterr().err


def test_a_port_in_use_is_told_with_the_next_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert kubechain("up", "--state", str(tmp_path), "--port", str(port)) == 1
    said = capsys.readouterr().err
    assert said == (
        f"error: port {port} is taken by another program: choose one with --port, or --port 0 for a free one\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_state_folder_on_a_full_disk_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".instance.json").symlink_to("/dev/full")
    assert main(["up", "--state", str(tmp_path), "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: the disk of the state folder {tmp_path} is full: free some space")
    assert "Traceback" not in said
