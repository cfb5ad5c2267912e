"""Processes held to a share of a core, as the kubelet holds a container with `resources.limits.cpu`.

A cgroup with a CFS quota: that much time on a CPU in every tenth of a second, and after that none until the next.
`bench.replicas` calls it. It needs the right to make a cgroup (root, mostly), version 1 or 2, and takes away what
it made; Linux only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000
"""Microseconds, as the kubelet has it."""
_LEAST = 1_000
"""Microseconds: the kernel takes no smaller quota."""
_OTHERWISE = "run it as root of a Linux machine, or without a quota (--cpu 0)"
_numbers = count()


@dataclass(frozen=True)
class Quota:
    """A cgroup: `folder` is where the kernel shows it."""

    folder: Path

    def hold(self, pids: Iterable[int]) -> None:
        """From now on these share the quota, with whatever they start."""
        for pid in pids:
            with suppress(ProcessLookupError):
                (self.folder / "cgroup.procs").write_text(str(pid))

    def periods(self) -> tuple[int, int]:
        """Tenths of a second in which they had work so far, and those in which the quota cut it short."""
        said = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
        return int(said["nr_periods"]), int(said["nr_throttled"])


@contextmanager
def quota(cores: float, root: Path = ROOT) -> Iterator[Quota]:
    """A quota of so many cores, nobody in it yet; who still is at the end is let go. Raises RuntimeError."""
    above, settings = limits(cores, root)
    folder = above / f"kubechain-bench-{os.getpid()}-{next(_numbers)}"
    try:
        try:
            folder.mkdir()
            for name, text in settings.items():
                (folder / name).write_text(text)
        except OSError as error:
            raise RuntimeError(f"{above} takes no further cgroup ({error.strerror}): {_OTHERWISE}") from None
        yield Quota(folder)
    finally:
        _remove(folder)


def limits(cores: float, root: Path) -> tuple[Path, dict[str, str]]:
    """Where cgroups with CPU are made, and what the files of one are to say. Raises RuntimeError."""
    used = max(_LEAST, round(cores * PERIOD))
    if (root / "cpu" / "cpu.cfs_quota_us").exists():
        return root / "cpu", {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{used}"}
    handed_down = root / "cgroup.subtree_control"
    if handed_down.exists() and "cpu" in handed_down.read_text().split():
        return root, {"cpu.max": f"{used} {PERIOD}"}
    raise RuntimeError(f"{root} has no cgroups that limit CPU: {_OTHERWISE}")


def _remove(folder: Path) -> None:
    """Gone once nobody is in it: those who are go back to where all others are."""
    for _ in range(50):
        with suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    (folder.parent / "cgroup.procs").write_text(pid)
        with suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(0.02)  # the kernel takes a moment to let go of the dead
    raise RuntimeError(f"{folder} cannot be removed: look who is in its cgroup.procs")
