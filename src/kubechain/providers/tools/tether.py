"""Ties a process to the life of the program that started it, whatever kills that program.

The function worker calls `tie` first thing. For programs that are not ours it is the launcher:
`python -I -S tether.py PARENT_PID PROGRAM ARG...` ties itself and becomes PROGRAM, with exactly the environment it
was given. On systems other than Linux there is no such tie; there a process ends when its input pipe does.
It runs alone and never imports anything outside the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends; ends at once when it already has."""
    if sys.platform != "linux":
        return
    import ctypes  # for those who tie themselves, not for who starts them

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def given_environment() -> dict[bytes, bytes]:
    """The environment as the parent gave it; the interpreter adds LC_CTYPE to its own where no locale is set."""
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environb)
    pairs = (item.partition(b"=") for item in block.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    os.execve(sys.argv[2], sys.argv[2:], given_environment())  # noqa: S606
