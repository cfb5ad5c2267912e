"""Child processes of a measurement, and what the kernel says of them: CPU, memory, bytes written.

Every driver calls it, in the peers' environments too: it needs the standard library alone. Linux only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
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


def lift(pids: Iterable[int]) -> None:
    """The same for processes that made a session, and with it a scheduler group, of their own."""
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text("-15")


class Child:
    """A process that says in one line of JSON when it is ready; ended with all that it started."""

    def __init__(
        self, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None, keep: int = -1
    ) -> None:
        self.log = log
        self.command = " ".join(str(word) for word in argv[:6])
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                preexec_fn=first,
                pass_fds=[keep] if keep >= 0 else [],
            )
        self.pid = self.process.pid
        self.killed = 0.0
        """When it was killed, by time.perf_counter()."""

    def line(self, seconds: float = 600.0) -> dict[str, Any]:
        """The next line of JSON that it prints. Raises RuntimeError with its last words when none comes."""
        assert self.process.stdout is not None
        overdue = threading.Timer(seconds, self.process.kill)
        overdue.start()
        try:
            for line in self.process.stdout:
                if line.startswith(b"{"):
                    said: dict[str, Any] = json.loads(line)
                    return said
        finally:
            overdue.cancel()
        code = self.process.wait()
        words = self.log.read_text(errors="replace").strip()[-1500:]
        raise RuntimeError(f"{self.command} ended with {code} (killed after {seconds:g} s if -9): {words}")

    def crash(self) -> None:
        """SIGKILL to it alone: what it started has to notice by itself."""
        self.process.kill()
        self.killed = time.perf_counter()
        self._gone()

    def kill(self) -> None:
        """SIGKILL to it and to all it started."""
        for pid in tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.killed = time.perf_counter()
        self._gone()

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL to whatever is left."""
        below = descendants(self.pid)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        for pid in [self.pid, *below]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gone()

    def _gone(self) -> None:
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
    """Megabytes that reached the page cache of a disk; what goes to tmpfs or a socket is not among them."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
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


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
