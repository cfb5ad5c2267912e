"""The store killed at random moments: everything it acknowledged is there afterwards.

A process of its own writes and reports each acknowledged write on a pipe; it is killed with SIGKILL after a random
number of reports, and the file it left is opened again.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import ListOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store

KILLS = 12
WRITERS = 8
PADDING = "x" * 3000


async def write(path: Path) -> None:
    """The process that is killed: creates, changes and deletes for ever, a line on stdout for each answer."""
    async with Store.open(path, clock=now) as store:
        first = len((await store.list(TASKS)).items)
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(_write(store, f"w{writer}-{first}-{os.getpid()}"))


async def _write(store: Store, prefix: str) -> None:
    number = 0
    while True:
        name = f"{prefix}-{number}"
        meta = ObjectMeta(name=name, namespace="default")
        made = await store.create(TASKS, Task(metadata=meta, spec=TaskSpec(agent="a", user_message=PADDING)))
        _report("live", name, made)
        made.status.status_detail = f"{number} {PADDING}"
        _report("live", name, await store.put_status(TASKS, made))
        if number % 3 == 0:
            _report("dead", name, (await store.delete(TASKS, name, "default")).object)
        number += 1


def _report(state: str, name: str, task: Task) -> None:
    os.write(1, f"{state} {name} {task.metadata.resource_version}\n".encode())


async def killed_after(path: Path, reports: int) -> list[tuple[str, str, int]]:
    """(state, name, version) of what a writing process acknowledged before it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(30):
            while len(lines) < reports:
                line = await process.stdout.readline()
                assert line, "the writing process ended by itself"
                lines.append(line)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        rest = await process.stdout.read()
        await process.wait()
    whole = [line for line in (b"".join(lines) + rest).splitlines(keepends=True) if line.endswith(b"\n")]
    said = (line.decode().split() for line in whole)
    return [(state, name, int(version)) for state, name, version in said]


@pytest.mark.timeout(180)
async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    newest: dict[str, tuple[str, int]] = {}
    highest = 0
    for _ in range(KILLS):
        reported = await killed_after(path, chance.randint(1, 400))
        assert min(version for _, _, version in reported) > highest, f"a version was given twice (seed {seed})"
        for state, name, version in reported:
            newest[name] = (state, version)
        async with Store.open(path, clock=now) as store:
            highest = await _compare(store, newest, seed)
    assert sum(state == "live" for state, _ in newest.values()) > KILLS


async def _compare(store: Store, newest: dict[str, tuple[str, int]], seed: int) -> int:
    """Holds what was acknowledged against what is there; the highest version there is."""
    page = await store.list(TASKS, "default", ListOptions())
    there = {t.metadata.name: int(t.metadata.resource_version) for t in page.items}
    assert len(set(there.values())) == len(there)
    for name, (state, version) in newest.items():
        if state == "dead":
            assert name not in there, f"{name} came back (seed {seed})"
        elif name in there:
            assert there[name] >= version, f"{name} lost a write (seed {seed})"
        else:  # its deletion may have reached the disk without having been reported
            assert int(name.rpartition("-")[2]) % 3 == 0, f"{name} is lost (seed {seed})"
    return int(page.resource_version)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
