"""Child processes of a measurement, and what the kernel says of them: CPU, memory, bytes written.

Every driver calls it, in the peers' environments too: it needs the standard library alone. Linux only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")


def first() -> None:
    """Before the rest of a shared machine: a scheduler group of its own at high priority, where we may."""
    os.setsid()
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("-15")
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


class Child:
    """A process that says in one line of JSON when it is ready; ended with all that it started."""

    def __init__(self, argv: Sequence[str | Path], log: Path, keep: int = -1, **environment: str) -> None:
        self.log = log
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                preexec_fn=first,
                pass_fds=[keep] if keep >= 0 else [],
            )
        self.pid = self.process.pid

    def line(self) -> dict[str, Any]:
        """The next line of JSON that it prints. Raises RuntimeError with its last words when it ended instead."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"{"):
                said: dict[str, Any] = json.loads(line)
                return said
        code = self.process.wait()
        words = self.log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{' '.join(map(str, self.process.args[:6]))} ended with {code}: {words}")  # type: ignore[index]

    def kill(self) -> None:
        """SIGKILL to it and to all it started."""
        tree = descendants(self.pid)
        for pid in [self.pid, *tree]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            _close(pipe)

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL to whatever is left."""
        tree = descendants(self.pid)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        for pid in [self.pid, *tree]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            _close(pipe)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):
            pipe.close()


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        below = parents.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *descendants(pid)]


def cpu(pids: Iterable[int]) -> float:
    """Seconds of CPU that these processes have used."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident(pids: Iterable[int]) -> float:
    """Megabytes of memory in use, shared pages divided among their users."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1000


def written(pids: Iterable[int]) -> float:
    """Megabytes handed to write(2) for files: what a disk would get (tmpfs counts too)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("wchar:"):
                    total += int(line.split()[1])
    return total / 1e6


def size(folder: Path) -> float:
    """Megabytes that the files of a folder take."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_blocks * 512
    return total / 1e6


class Model:
    """The model server (model.py) as a child, and its counts."""

    def __init__(self, log: Path) -> None:
        self.child = Child([sys.executable, "-m", "bench.model"], log)
        self.url: str = self.child.line()["url"]

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()

    def ask(self, path: str) -> Any:
        return get(self.url + path)


def get(url: str) -> Any:
    """The JSON document at a URL of this machine."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def quiet(pids: Sequence[int], *, share: float = 0.02, seconds: float = 120.0) -> float:
    """Waits until the processes use less than `share` of a core for a second; the seconds before that."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        before = cpu(pids)
        time.sleep(1.0)
        if cpu(pids) - before <= share:
            return time.monotonic() - begun - 1.0
    return -1.0
