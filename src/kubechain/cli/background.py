"""Starts `kubechain up` in the background for another command, waits for it without polling, and stops it.

Used by `up --detach` and `demo`. The child has its own session; it says over a pipe when it is ready.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kubechain.cli.instance import Instance
from kubechain.cli.options import complain

_PATIENCE = 1.0
"""Seconds of silence before people are told that something is still going on."""


class Child:
    """One started `kubechain up`."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, log: Path, start: int) -> None:
        self.process = process
        self._pipe = pipe
        self._log = log
        self._start = start

    def ready(self, seconds: float) -> Instance | None:
        """The address when it serves; None if it ended or was too slow."""
        began, said = time.monotonic(), b""
        with os.fdopen(self._pipe, "rb", buffering=0) as pipe:
            while not said.endswith(b"\n"):
                spent = time.monotonic() - began
                if spent > seconds:
                    return None
                if select.select([pipe], [], [], _PATIENCE)[0]:
                    piece = pipe.read(65536)
                    if not piece:
                        return None
                    said += piece
                else:
                    complain(f"starting, {spent + _PATIENCE:.0f} s ...")
        return Instance(**json.loads(said))

    def last_words(self) -> str:
        """The end of its log since it was started, indented."""
        said = self._log.read_bytes()[self._start :].decode(errors="replace").strip().splitlines()[-15:]
        return "\n".join(f"  {line}" for line in said or ["(nothing)"])

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, grace: float = 10.0) -> None:
        """Stops it with SIGTERM, then with SIGKILL, with all processes of its session.

        Does nothing if it has ended.
        """
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delays Ctrl-C and SIGTERM for a moment, so that no process is started without being recorded."""
    held: list[int] = []
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, lambda got, _: held.append(got))
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        for got in held[:1]:
            signal.raise_signal(got)


def start(arguments: list[str], log: Path) -> Child:
    """Starts `kubechain ARGUMENTS` in a session of its own; its output goes to the end of `log`."""
    reader, writer = os.pipe()
    start = log.stat().st_size if log.exists() else 0
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "kubechain.cli.main", *arguments, "--ready-fd", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writer],
                start_new_session=True,
            )
    finally:
        os.close(writer)
    return Child(process, reader, log, start)
