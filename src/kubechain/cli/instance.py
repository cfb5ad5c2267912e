"""The KubeChain that runs on a state folder: a lock that ends with its process, and a record of its address.

Used by `up`, `down` and `status`. The lock, not the record, says whether it runs: the kernel frees it on kill -9.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import IO

from kubechain.cli.exits import CommandError
from kubechain.cli.state import state_home
from kubechain.errors import SettingsError

_RECORD = "instance.json"
_LOCK = "lock"
_GRACE = "grace.json"
_INTERRUPTED = "interrupted.json"
GRACE = 30.0
"""Seconds that what is in hand gets to end, where nobody says otherwise."""
_MARGIN = 5.0
"""Seconds for the end itself, beyond the grace."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 64 * 1024
"""Bytes without which a start makes no sense."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A running KubeChain; `url` is "" while it starts."""

    pid: int
    version: str
    url: str = ""
    kubeconfig: str = ""
    model: str = ""


class Lock:
    """Held by the serving process for as long as it lives."""

    def __init__(self, file: IO[str], state: Path) -> None:
        self._file = file
        self._state = state

    @classmethod
    def take(cls, state: Path) -> Lock:
        """Takes the lock. Raises SettingsError if another process has it."""
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (state / _LOCK).open("a")
            _try_out(state)
        except OSError as error:
            raise unusable(state, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = recorded(state)
            if other is None or _alive(other.pid):
                file.close()
                at = f" (pid {other.pid}, {other.url or 'starting'})" if other else ""
                raise SettingsError(
                    f"KubeChain already runs on {state}{at}: use it, stop it with `{command('down', state)}`, "
                    "or give this one its own folder with --state"
                ) from None
            fcntl.flock(file, fcntl.LOCK_EX)  # only a `kubechain status` looking: it lets go at once
        return cls(file, state)

    def record(self, instance: Instance) -> None:
        """Records atomically how to reach this process."""
        fresh = self._state / f".{_RECORD}"
        fresh.write_text(json.dumps(asdict(instance), indent=2) + "\n")
        fresh.replace(self._state / _RECORD)

    def free(self) -> None:
        """Removes the record and releases the lock."""
        self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        """Releases the lock."""
        with suppress(FileNotFoundError):
            (self._state / _RECORD).unlink()
        self._file.close()


def unusable(state: Path, error: OSError) -> SettingsError:
    """The error for a state folder that cannot be used: the cause, and what to do."""
    if error.errno in FULL:
        return SettingsError(
            f"the disk of the state folder {state} is full: free some space, or choose another with --state"
        )
    return SettingsError(f"state folder {state} cannot be used ({error.strerror}): choose one with --state")


def command(name: str, state: Path) -> str:
    """`kubechain down`, with --state where it is not about the default folder."""
    default = state == state_home().resolve()
    return f"kubechain {name}" if default else f"kubechain {name} --state {shlex.quote(str(state))}"


def state_of(kubeconfig: Path | None) -> Path:
    """The state folder that a kubeconfig is from; the default one where it is from elsewhere."""
    folder = kubeconfig.resolve().parent if kubeconfig is not None else None
    return folder if folder is not None and (folder / _LOCK).exists() else state_home().resolve()


def _try_out(state: Path) -> None:
    """Writes a little and removes it again. Raises OSError: the folder cannot be written, or the disk is full."""
    probe = state / ".probe"
    try:
        probe.write_bytes(bytes(_ROOM))
    finally:
        probe.unlink(missing_ok=True)


def running(state: Path) -> Instance | None:
    """The KubeChain that runs on this folder, or None."""
    if _free(state):
        return None
    return recorded(state) or Instance(pid=0, version="")


def recorded(state: Path) -> Instance | None:
    """What the last process of this folder wrote about itself; it may be long dead."""
    try:
        said = json.loads((state / _RECORD).read_text())
        return Instance(**said)
    except (OSError, ValueError, TypeError):
        return None


def stop(state: Path, grace: float) -> list[str] | None:
    """Stops the KubeChain of this folder: SIGTERM, then SIGKILL if it takes much longer than `grace` seconds.

    Returns what did not finish within the grace; None if nothing ran. Raises CommandError.
    """
    instance = running(state)
    if instance is None:
        return None
    if not instance.pid:
        raise CommandError(f"KubeChain on {state} is starting or stopping at the moment: try again soon")
    _write(state, _GRACE, grace)
    with suppress(ProcessLookupError):
        os.kill(instance.pid, signal.SIGTERM)
    if _freed(state, grace + _MARGIN):
        return interrupted(state)
    with suppress(ProcessLookupError):
        os.kill(instance.pid, signal.SIGKILL)
    if _freed(state, _MARGIN):
        return ["everything that was in progress: the process did not stop by itself and was killed"]
    raise CommandError(f"process {instance.pid} does not end, even after SIGKILL: look with `ps {instance.pid}`")


def grace_of(state: Path) -> float:
    """How long the command that stops this process waits for work in progress."""
    try:
        return float(json.loads((state / _GRACE).read_text()))
    except (OSError, ValueError, TypeError):
        return GRACE


def interrupted(state: Path) -> list[str]:
    """What the last process of this folder could not finish before it stopped."""
    try:
        return [str(one) for one in json.loads((state / _INTERRUPTED).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def leave(state: Path, unfinished: list[str]) -> None:
    """Records what did not finish, for the command that stops this process."""
    with suppress(OSError):  # a full disk does not keep us from ending
        _write(state, _INTERRUPTED, unfinished)


def forget_the_last_end(state: Path) -> None:
    """At a start: removes the record of the last stop."""
    for name in (_GRACE, _INTERRUPTED):
        (state / name).unlink(missing_ok=True)


def _write(state: Path, name: str, content: float | list[str]) -> None:
    """Writes a file atomically."""
    fresh = state / f".{name}"
    fresh.write_text(json.dumps(content) + "\n")
    fresh.replace(state / name)


def _free(state: Path) -> bool:
    try:
        with (state / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _freed(state: Path, seconds: float) -> bool:
    """Waits in the kernel until the lock's holder is gone; False when it is not in time."""

    def wait() -> None:
        with (state / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)

    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(seconds)
    return not waiting.is_alive()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
