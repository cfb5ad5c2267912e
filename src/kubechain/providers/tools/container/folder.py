"""The folder of one call on this machine: the container has it as /kubechain, and we read it when it has ended.

`local` calls it, in a thread. After the call it holds what the container wrote: no link is followed, nothing but
regular files is read, and no more than the limits allow.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from kubechain.providers.tools.container.results import Left
from kubechain.providers.tools.container.work import ARGUMENTS, ARTIFACTS, RESULT, USER
from kubechain.providers.tools.result import MAX_RESULT_BYTES

MOUNTED, ENVIRONMENT, ID, LOG = "kubechain", "env", "id", "log"
MOST_FILES = 16
MOST_BYTES = 4 * 1024 * 1024


class CallFolder:
    """`path`: the folder; the container has `mounted`, the files beside it are for the engine alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mounted = path / MOUNTED
        self.arguments = self.mounted / ARGUMENTS
        self.environment = path / ENVIRONMENT
        self.id = path / ID
        """Written by the engine when it has made the container."""
        self.log = path / LOG
        """What the container printed, as podman keeps it."""

    def prepare(self, arguments: bytes, variables: Mapping[str, str]) -> None:
        """Makes the folder, with the arguments and with a file of `variables`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        artifacts = self.mounted / ARTIFACTS
        artifacts.mkdir(parents=True, exist_ok=True)
        self.arguments.write_bytes(arguments)
        self.arguments.chmod(0o644)
        for folder in (self.mounted, artifacts):
            folder.chmod(0o777)  # the folder around it is ours alone
            if os.geteuid() == 0:
                os.chown(folder, USER, USER)
        if variables:
            lines = "".join(f"{name}={value}\n" for name, value in variables.items())
            self.environment.touch(mode=0o600)
            self.environment.write_text(lines)

    def made(self) -> bool:
        """Whether the engine has made the container."""
        try:
            return bool(self.id.read_bytes().strip())
        except OSError:
            return False

    def claimed(self) -> bool:
        """Whether a command of the engine has begun to make the container."""
        return self.id.exists()

    def left(self) -> Left:
        """What the container left, as much of it as the limits allow."""
        room, files, dropped = MOST_BYTES, list[tuple[str, bytes]](), list[str]()
        for name, size in self._files():
            path = self.mounted / ARTIFACTS / name
            content = _content(path, size) if size <= room and len(files) < MOST_FILES else None
            if content is None:
                dropped.append(f"{name} ({size:,} bytes)")
            else:
                room -= len(content)
                files.append((name, content))
        return Left(_content(self.mounted / RESULT, MAX_RESULT_BYTES + 1), files, dropped)

    def printed(self) -> tuple[bytes, bytes]:
        """What podman's log has of stdout and of stderr: the beginning, some more than a result may have.

        podman 4 now and then loses what a short container prints, for those who are attached to it.
        """
        found: dict[bytes, bytes] = {b"stdout": b"", b"stderr": b""}
        for line in (_content(self.log, 2 * MAX_RESULT_BYTES) or b"").splitlines():
            _, _, rest = line.partition(b" ")
            stream, _, rest = rest.partition(b" ")
            whole, _, text = rest.partition(b" ")
            found[stream] = found.get(stream, b"") + text + (b"\n" if whole == b"F" else b"")
        return found[b"stdout"], found[b"stderr"]

    def remove(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> list[tuple[str, int]]:
        """Names below the folder of artifacts, and sizes in bytes."""
        found: list[tuple[str, int]] = []
        root = self.mounted / ARTIFACTS
        for folder, _, names in os.walk(root, followlinks=False):
            for name in names:
                path = Path(folder, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((str(path.relative_to(root)), status.st_size))
        return sorted(found)


def _content(path: Path, most: int) -> bytes | None:
    """The first bytes of a regular file; None where there is none that we can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
