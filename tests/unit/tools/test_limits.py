"""Limits of tool processes: by a cgroup where one may be made, else by rlimits, and how that is said."""

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubechain.providers.tools import cgroups as module
from kubechain.providers.tools import process as processes
from kubechain.providers.tools.cgroups import Cgroups, NoCgroup, Place, cgroups, places
from kubechain.providers.tools.environment import environment
from kubechain.providers.tools.limits import Bounds, about_memory, bounds_of, held_by_rlimits
from kubechain.providers.tools.process import LocalProcess, start
from kubechain.providers.tools.starting import ending
from kubechain.resources.limits import Limits, Resources
from tests.unit.tools.processes import ended

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits hold only on Linux")
MEMORY = Bounds(64 << 20, None, "64Mi")
BOTH = Bounds(64 << 20, 0.5, "64Mi", "500m")
HUNGRY = "held = []\nwhile True: held.append(bytearray(b'x') * (1 << 20))"


def possible(bounds: Bounds) -> str:
    """Why no cgroup can be made on this machine; "" if one can."""
    if sys.platform != "linux":
        return "this is not Linux"
    try:
        folders, _ = cgroups().make(bounds)
    except NoCgroup as error:
        return str(error)
    for folder in folders:
        folder.rmdir()
    return ""


in_cgroups = pytest.mark.skipif(bool(possible(BOTH)), reason=f"no cgroup can be made: {possible(BOTH)}")


def ours() -> list[Path]:
    """The cgroups of this program's tool processes."""
    return [
        folder
        for place in {place.folder for place in cgroups()._where.values()}
        for folder in place.glob(f"{module.PREFIX}{os.getpid()}-*")
    ]


async def python(code: str, bounds: Bounds) -> LocalProcess:
    return await start([sys.executable, "-I", "-S", "-c", code], environment({}), bounds=bounds)


@pytest.fixture
def no_cgroups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processes, "cgroups", lambda: Cgroups({}))
    yield


@in_cgroups
async def test_a_process_that_takes_too_much_memory_is_killed_and_it_is_known_why() -> None:
    process = await python(HUNGRY, MEMORY)
    assert process.held is not None and process.held.enforced
    assert process.held.detail.startswith("memory 64Mi holds for all its processes together (cgroup v")
    async with asyncio.timeout(60):
        await process.ended()
    assert process.over_memory and ending(process) == "was killed by SIGKILL"
    await process.finish(())
    assert about_memory(MEMORY, process.held, process.over_memory, "", "spec.f") == (
        " because it used more than its memory limit of 64Mi; raise spec.f, or have it use less"
    )
    assert not ours()


@in_cgroups
async def test_memory_of_all_that_a_process_starts_counts_even_of_what_has_left_its_group() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HUNGRY!r}], start_new_session=True)"
    process = await python(code, MEMORY)
    async with asyncio.timeout(60):
        await process.ended()
    assert process.over_memory
    await process.finish(())
    assert not ours()


@in_cgroups
async def test_a_process_within_its_limits_is_in_a_cgroup_with_exactly_these() -> None:
    process = await python("import time; print('up', flush=True); time.sleep(1000)", BOTH)
    assert await process.stdout.readline() == b"up\n"
    files = {
        1: ("memory.limit_in_bytes", "cpu.cfs_quota_us"),
        2: ("memory.max", "cpu.max"),
    }[cgroups()._where["memory"].version]
    memory, cpu = (next(file for folder in ours() if (file := folder / name).exists()) for name in files)
    assert memory.read_text().strip() == str(64 << 20)
    assert cpu.read_text().split()[0] == "50000"
    pids = (memory.parent / "cgroup.procs").read_text().split()
    assert len(pids) == 1 and pids == (cpu.parent / "cgroup.procs").read_text().split()
    await process.finish(())
    assert not process.over_memory and not ours()


PROGRAM = """
import asyncio, sys
from tests.unit.tools.test_limits import MEMORY, ours, python
async def main():
    process = await python("import os, time; print(os.getpid(), flush=True); time.sleep(1000)", MEMORY)
    print((await process.stdout.readline()).decode().strip(), process.pid, *ours(), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@in_cgroups
async def test_kill_9_of_the_program_leaves_no_cgroup_behind() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert program.stdout is not None
    async with asyncio.timeout(60):
        pid, watcher, *folders = (await program.stdout.readline()).decode().split()
    assert folders and all(Path(folder).is_dir() for folder in folders)
    program.kill()
    await program.wait()
    await ended(int(pid))
    await ended(int(watcher))
    assert not any(Path(folder).exists() for folder in folders)


@pytest.mark.slow
@in_cgroups
async def test_two_hundred_processes_with_limits_leave_no_cgroup_no_descriptor_and_no_process() -> None:
    def left() -> tuple[int, int, int]:
        gc.collect()  # what earlier tests have left behind may close its descriptors at any time
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(list(Path("/proc/self/fd").iterdir())), len(children), len(ours())

    async def once() -> None:
        process = await start(["/bin/true"], environment({}), stdin=True, bounds=BOTH)
        await process.finish((), grace=20)

    await once()
    before = left()
    for _ in range(50):
        await asyncio.gather(*(once() for _ in range(4)))
    assert not [now for now, then in zip(left(), before, strict=True) if now > then] and before[2] == 0


@linux
async def test_without_cgroups_each_process_is_held_by_rlimits_and_says_so(no_cgroups: None) -> None:
    process = await python(HUNGRY, BOTH)
    assert process.held is not None and not process.held.enforced
    assert process.held.detail == (
        "memory 64Mi holds for each of its processes alone (RLIMIT_DATA); cpu 500m does not hold, its processes "
        "run at a low priority instead (nice); no cgroup can be made: there is no memory controller here"
    )
    async with asyncio.timeout(60):
        words = (await process.stderr.read()).decode()
        await process.ended()
    assert "MemoryError" in words and not process.over_memory
    assert ending(process) == "exited with code 1"
    await process.finish(())
    assert about_memory(BOTH, process.held, False, words, "spec.f").startswith(", perhaps because it reached its")
    assert about_memory(BOTH, process.held, False, "no such file", "spec.f") == ""


@linux
async def test_without_cgroups_a_cpu_limit_lowers_the_priority(no_cgroups: None) -> None:
    process = await python("import os; print(os.nice(0), flush=True)", Bounds(None, 0.5, "", "500m"))
    async with asyncio.timeout(60):
        assert int(await process.stdout.readline()) == min(19, os.nice(0) + processes.LOW_PRIORITY)
    await process.finish((), grace=20)


def test_bounds_come_from_the_manifest() -> None:
    assert bounds_of(Resources(limits=Limits(cpu="500m", memory="64Mi"))) == BOTH
    assert not bounds_of(None) and not bounds_of(Resources()) and not bounds_of(Resources(limits=Limits()))
    assert held_by_rlimits(MEMORY, "x").detail.endswith("; no cgroup can be made: x")


V1 = """31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
IN_A_CONTAINER = """700 600 0:32 /docker/ab /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
701 600 0:29 /docker/ab /sys/fs/cgroup/cpu ro,relatime - cgroup cgroup rw,cpu
"""
V2 = "29 22 0:25 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "memory", "cpu"),
    [
        (
            "4:memory:/jobs/1\n2:cpu,cpuacct:/\n0::/\n",
            V1,
            Place(Path("/sys/fs/cgroup/memory/jobs/1"), 1),
            Place(Path("/sys/fs/cgroup/cpu,cpuacct"), 1),
        ),
        (
            "4:memory:/docker/ab\n1:cpu:/docker/ab/x\n",
            IN_A_CONTAINER,
            Place(Path("/sys/fs/cgroup/memory"), 1),
            Place(Path("/sys/fs/cgroup/cpu/x"), 1),
        ),
        ("0::/user.slice/a.scope\n", V2, *[Place(Path("/sys/fs/cgroup/user.slice/a.scope"), 2)] * 2),
        ("", "", None, None),
    ],
)
def test_where_cgroups_can_be_made(cgroup: str, mounts: str, memory: Place | None, cpu: Place | None) -> None:
    found = places(cgroup, mounts)
    assert (found.get("memory"), found.get("cpu")) == (memory, cpu)


def v2(folder: Path, *, procs: str, controllers: str = "cpu memory", subtree: str = "") -> Cgroups:
    """A folder that looks like a cgroup of version 2, the files of which are only files."""
    for name, text in (("procs", procs), ("controllers", controllers), ("subtree_control", subtree)):
        (folder / f"cgroup.{name}").write_text(text)
    return Cgroups({"memory": Place(folder, 2), "cpu": Place(folder, 2)})


def test_with_version_2_the_program_moves_out_of_the_way_when_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_enter", lambda folders: None)
    monkeypatch.setattr(module, "_remove", lambda folder: None)
    made, version = v2(tmp_path, procs=str(os.getpid())).make(BOTH)
    assert version == 2 and len(made) == 1 and made[0].parent == tmp_path
    assert (tmp_path / "kubechain-main" / "cgroup.procs").read_text() == str(os.getpid())
    assert (made[0] / "memory.max").read_text() == str(64 << 20)
    assert (made[0] / "cpu.max").read_text() == "50000 100000"


@pytest.mark.parametrize(
    ("procs", "controllers", "why"),
    [
        ("1", "cpu memory", "other processes run in .*; start KubeChain in a cgroup of its own"),
        ("", "cpu", "has no memory controller; delegate it, as systemd does with Delegate=yes"),
    ],
)
def test_with_version_2_it_says_why_it_makes_none(tmp_path: Path, procs: str, controllers: str, why: str) -> None:
    with pytest.raises(NoCgroup, match=why):
        v2(tmp_path, procs=procs, controllers=controllers).make(MEMORY)
