"""Cgroups for tool processes, where this program may make them: of version 1 and 2, inside its own.

`starting` calls it. Each process with limits gets a cgroup of its own, which the process enters before its program
starts, and which its watcher (tether.py) removes. Nothing outside the cgroup that this program runs in is touched.
With version 2 a cgroup that has processes cannot pass controllers on: if nobody else is in it, this program and
its processes move into a child of it first; otherwise it does without.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kubechain.providers.tools.limits import Bounds
from kubechain.providers.tools.tether import descendants

Controller = Literal["memory", "cpu"]
PREFIX = "kubechain-"
_OWN = f"{PREFIX}main"
_PERIOD = 100_000
_SHORTEST = 1_000
"""Microseconds of CPU in each period of 100 ms: the least that the kernel takes."""
_PROBE_SECONDS = 5.0
_numbers = itertools.count(1)


class Place(Struct, frozen=True):
    """Where cgroups with a controller can be made."""

    folder: Path
    version: Literal[1, 2]


class NoCgroup(Exception):
    """Why none can be made."""


def places(cgroup: str, mounts: str) -> dict[Controller, Place]:
    """This process's cgroups by controller. `cgroup`, `mounts`: /proc/self/cgroup and /proc/self/mountinfo."""
    found: dict[Controller, Place] = {}
    inside = _inside(cgroup)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        words, kind = before.split(), after.split()
        if len(words) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        version: Literal[1, 2] = 2 if kind[0] == "cgroup2" else 1
        for controller in _controllers():
            named = controller in kind[-1].split(",") if version == 1 else controller not in inside
            path = inside.get(controller if version == 1 else "")
            if not named or path is None or controller in found:
                continue
            root = words[3].rstrip("/")
            below = path[len(root) :] if root and path.startswith(root) else path
            found[controller] = Place(Path(words[4]) / below.strip("/"), version)
    return found


def _controllers() -> tuple[Controller, ...]:
    return ("memory", "cpu")


def _inside(cgroup: str) -> dict[str, str]:
    """Paths by controller; by "" that of version 2."""
    paths: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


class Cgroups:
    """Makes them. `where` is looked up when the first one is needed, and once."""

    def __init__(self, where: dict[Controller, Place]) -> None:
        self._where = where
        self._usable: dict[tuple[Controller, ...], str] = {}
        """Why none can be made with these controllers; "" if one can."""

    def make(self, bounds: Bounds) -> tuple[list[Path], int]:
        """The folders of a new cgroup with these bounds, and its version. Raises NoCgroup."""
        wanted = _wanted(bounds)
        if wanted not in self._usable:
            self._usable[wanted] = self._try(wanted)
        if why := self._usable[wanted]:
            raise NoCgroup(why)
        try:
            return self._make(wanted, bounds)
        except OSError as error:
            raise NoCgroup(_reason(error)) from error

    def _try(self, wanted: Sequence[Controller]) -> str:
        """Makes one and has a process enter it."""
        folders: list[Path] = []
        try:
            for controller in wanted:
                self._prepare(controller)
            folders, _ = self._make(wanted, Bounds())
            _enter(folders)
        except OSError as error:
            return _reason(error)
        except NoCgroup as error:
            return str(error)
        finally:
            for folder in folders:
                _remove(folder)
        return ""

    def _prepare(self, controller: Controller) -> None:
        """Has the place pass its controller on, and removes what an earlier program left there."""
        place = self._where.get(controller)
        if place is None:
            raise NoCgroup(f"there is no {controller} controller here")
        if place.version == 2:
            place = self._where[controller] = Place(_delegated(place.folder, controller), 2)
        for old in place.folder.glob(f"{PREFIX}[0-9]*-[0-9]*"):
            if not Path("/proc", old.name.removeprefix(PREFIX).split("-")[0]).exists():
                _remove(old)

    def _make(self, wanted: Sequence[Controller], bounds: Bounds) -> tuple[list[Path], int]:
        name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        made: list[Path] = []
        try:
            for controller in wanted:
                place = self._where[controller]
                folder = place.folder / name
                if folder not in made:
                    folder.mkdir()
                    made.append(folder)
                for file, value in _settings(controller, place.version, bounds):
                    _write(folder / file, value)
        except OSError:
            for folder in made:
                _remove(folder)
            raise
        return made, max(self._where[controller].version for controller in wanted)


def _settings(controller: Controller, version: int, bounds: Bounds) -> list[tuple[str, str]]:
    """Files and what to write into them, in order. Those of swap are there only where swap is counted."""
    match controller, version:
        case "memory", 1 if bounds.memory is not None:
            return [(f"memory.{file}limit_in_bytes", str(bounds.memory)) for file in ("", "memsw.")]
        case "memory", 2 if bounds.memory is not None:
            return [("memory.max", str(bounds.memory)), ("memory.swap.max", "0")]
        case "cpu", 1 if bounds.cpu is not None:
            return [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(_quota(bounds.cpu)))]
        case "cpu", 2 if bounds.cpu is not None:
            return [("cpu.max", f"{_quota(bounds.cpu)} {_PERIOD}")]
        case _:
            return []


def _quota(cpu: float) -> int:
    return max(_SHORTEST, int(cpu * _PERIOD))


def _write(file: Path, value: str) -> None:
    if ("memsw" in file.name or "swap" in file.name) and not file.exists():
        return
    file.write_text(value)


def _wanted(bounds: Bounds) -> tuple[Controller, ...]:
    memory: tuple[Controller, ...] = ("memory",) if bounds.memory is not None else ()
    return (*memory, "cpu") if bounds.cpu is not None else memory


def _delegated(own: Path, controller: Controller) -> Path:
    """The cgroup of version 2 below which cgroups with the controller can be made. Raises NoCgroup, OSError."""
    for folder in (own, own.parent):
        if controller in _words(folder / "cgroup.subtree_control") and not _words(folder / "cgroup.procs"):
            return folder
    if controller not in _words(own / "cgroup.controllers"):
        raise NoCgroup(f"{own} has no {controller} controller; delegate it, as systemd does with Delegate=yes")
    inside, family = {int(pid) for pid in _words(own / "cgroup.procs")}, {os.getpid(), *descendants()}
    if not inside <= family:
        raise NoCgroup(f"other processes run in {own}; start KubeChain in a cgroup of its own")
    main = own / _OWN
    main.mkdir(exist_ok=True)
    for pid in inside:
        (main / "cgroup.procs").write_text(str(pid))
    for each in set(_words(own / "cgroup.controllers")) & set(_controllers()):
        (own / "cgroup.subtree_control").write_text(f"+{each}")
    return own


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except FileNotFoundError:
        return []


def _enter(folders: Sequence[Path]) -> None:
    """Has a process enter them, to see whether it may. Raises NoCgroup."""
    script = "".join(f"echo 0 > '{folder}/cgroup.procs' && " for folder in folders) + "exit 0"
    tried = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
    )
    if tried.returncode:
        raise NoCgroup(f"no process can be put into one ({tried.stderr.strip().rpartition(': ')[2]})")


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _reason(error: OSError) -> str:
    return f"{error.filename or 'it'}: {error.strerror}"


@cache
def cgroups() -> Cgroups:
    """Those of this program."""
    try:
        proc = Path("/proc/self")
        return Cgroups(places((proc / "cgroup").read_text(), (proc / "mountinfo").read_text()))
    except OSError:
        return Cgroups({})
