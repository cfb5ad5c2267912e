"""Watches one tool process, so that none of its processes outlives KubeChain, even if KubeChain is killed.

`python -I -S tether.py WATCH [LIMIT=VALUE]... -- PROGRAM ARG...` runs PROGRAM as its child, with exactly the
environment it was given and within the limits, and waits. It kills every process that descends from PROGRAM,
detached ones too, as soon as PROGRAM has ended or the other end of the socket WATCH is closed, because KubeChain
has stopped it or has ended. Then it removes the cgroups that it was given, writes MEMORY into the socket if the
kernel killed a process in them for its memory, and ends as PROGRAM did: with its exit code, or by its signal. Only
for Linux: elsewhere a process ends when its input pipe does. It runs alone and never imports anything outside the
standard library.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STDERR = 2
MEMORY = b"memory"


def tie(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends; ends at once when it already has."""
    if sys.platform != "linux":
        return
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


def become(argv: list[str], limits: list[tuple[str, str]], watch: int, parent: int) -> NoReturn:
    """Replaces this process, a child of the watcher, with the program."""
    os.close(watch)
    os.setsid()
    tie(parent)
    try:
        for kind, value in limits:
            limit(kind, value)
    except OSError as error:
        os.write(_STDERR, f"its limits cannot be set: {error}\n".encode())
        os._exit(126)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which the interpreter ignores, and programs would go on to
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        os.execve(argv[0], argv, given_environment())  # noqa: S606
    except OSError as error:
        os.write(_STDERR, f"{argv[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(126)


def limit(kind: str, value: str) -> None:
    """Holds this process, and what it will start, to a limit."""
    match kind:
        case "cgroup":
            Path(value, "cgroup.procs").write_text("0")
        case "data":
            resource.setrlimit(resource.RLIMIT_DATA, (int(value), int(value)))
        case "nice":
            os.nice(int(value))


def killed_for_memory(cgroup: str) -> bool:
    """Whether the kernel has killed a process in the cgroup because it reached its memory limit."""
    for file in ("memory.events", "memory.oom_control"):
        try:
            lines = Path(cgroup, file).read_text().splitlines()
        except OSError:
            continue
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)
    return False


def clear_away(cgroups: list[str], watch: int) -> None:
    """Removes the cgroups, and tells KubeChain whether the memory was too small."""
    try:
        if any(killed_for_memory(cgroup) for cgroup in cgroups):
            os.write(watch, MEMORY)
    except OSError:  # KubeChain has ended
        pass
    for cgroup in cgroups:
        try:
            Path(cgroup).rmdir()
        except OSError:
            continue


def let_go(watch: int) -> None:
    """Closes every descriptor but one: the program's pipes must end with the program."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    for name in [path.name for path in Path("/proc/self/fd").iterdir()]:
        if int(name) > _STDERR and int(name) != watch:
            try:
                os.close(int(name))
            except OSError:  # the descriptor of the listing itself
                continue


def wait(child: int, watch: int) -> int | None:
    """Until the program has ended, then how it did; None when its end is wished for first."""
    noticed, notice = os.pipe()
    os.set_blocking(notice, False)
    signal.set_wakeup_fd(notice, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: _ask_to_end(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    poll = select.poll()
    poll.register(watch, select.POLLIN | select.POLLHUP)
    poll.register(noticed, select.POLLIN)
    while True:
        if (status := reap(child)) is not None:
            return status
        for descriptor, _ in poll.poll():
            if descriptor == watch:
                return None
            os.read(noticed, 512)


def reap(child: int) -> int | None:
    """Takes note of every descendant that has ended; how the program did when it is among them."""
    status = None
    while True:
        try:
            pid, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if not pid:
            return status
        if pid == child:
            status = found


def end_descendants(child: int, status: int | None) -> int:
    """Kills all that descend from this process and returns when they are gone; how the program ended.

    Orphans become its children. A program that was about to end keeps the end that it had chosen.
    """
    while True:
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            pid, found = os.waitpid(-1, 0)
        except ChildProcessError:
            return signal.SIGKILL if status is None else status
        if pid == child:
            status = found


def descendants() -> list[int]:
    """Every living process that this one, or one of them, has started."""
    children: dict[int, list[int]] = {}
    for name in [path.name for path in Path("/proc").iterdir()]:
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def end_like(status: int) -> NoReturn:
    """Ends as the program did."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def _ask_to_end(child: int) -> None:
    try:
        os.killpg(child, signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        return


def main() -> NoReturn:
    """`tether.py WATCH [LIMIT=VALUE]... -- PROGRAM ARG...`"""
    cut = sys.argv.index("--")
    watch, argv = int(sys.argv[1]), sys.argv[cut + 1 :]
    limits = [(kind, value) for kind, _, value in (word.partition("=") for word in sys.argv[2:cut])]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until it can be handed on
    watcher = os.getpid()
    child = os.fork()
    if not child:
        become(argv, limits, watch, watcher)
    let_go(watch)
    status = end_descendants(child, wait(child, watch))
    clear_away([value for kind, value in limits if kind == "cgroup"], watch)
    end_like(status)


if __name__ == "__main__":
    main()
