"""What a tool process starts ends with it: children, groups of their own, daemons."""

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

import pytest

from kubechain.providers.tools.environment import environment
from kubechain.providers.tools.process import LocalProcess, start
from kubechain.providers.tools.starting import ending
from tests.unit.tools.processes import ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the watcher")

FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
group = subprocess.Popen(["sleep", "1000"], start_new_session=True)
if not os.fork():                       # a daemon: forked twice, in a session of its own, its parent gone
    os.setsid()
    if os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    os.close(0), os.close(1), os.close(2)
    time.sleep(1000)
os.wait()
print(child.pid, group.pid, os.getpid(), flush=True)
"""
STAY = "\ntime.sleep(1000)"


async def family(end: str) -> tuple[LocalProcess, list[int]]:
    process = await start([sys.executable, "-I", "-S", "-c", FAMILY + end], environment({}), stdin=True)
    async with asyncio.timeout(20):
        words = (await process.stdout.readline()) + (await process.stdout.readline())
    return process, [int(word) for word in words.split()]


async def test_everything_a_process_has_started_is_killed_with_it() -> None:
    process, pids = await family(STAY)
    assert len(pids) == 4
    assert not await process.finish(())
    for pid in pids:
        await ended(pid)
    assert ending(process) == "was killed by SIGKILL"


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("\nsys.exit(7)", "exited with code 7"),
        ("\nos.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("\nos.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("", "exited with code 0"),
    ],
)
async def test_what_it_leaves_behind_ends_when_it_ends_by_itself(end: str, says: str) -> None:
    process, pids = await family(end)
    for pid in pids:
        await ended(pid)
    assert await process.finish((), grace=20)
    assert ending(process) == says


async def test_a_process_is_asked_to_end_before_it_is_killed() -> None:
    script = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); print(1, flush=True); time.sleep(99)"
    )
    process = await start([sys.executable, "-I", "-S", "-c", script], environment({}))
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"1\n"
    assert not await process.finish((), grace=0.2)
    assert ending(process) == "exited with code 5"


async def test_a_program_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    process = await start([str(script)], environment({}))
    async with asyncio.timeout(20):
        assert b"cannot be started: No such file" in await process.stderr.read()
    assert await process.finish((), grace=20)
    assert ending(process) == "exited with code 126"


PROGRAM = """
import asyncio, sys
from tests.unit.tools.test_process import STAY, family
async def main():
    process, pids = await family(STAY)
    print(process.pid, *pids, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_kill_9_of_the_program_leaves_nothing_behind() -> None:
    root = Path(__file__).parents[3]
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, cwd=root, start_new_session=True
    )
    assert program.stdout is not None
    async with asyncio.timeout(30):
        pids = [int(word) for word in (await program.stdout.readline()).split()]
    assert len(pids) == 5
    os.kill(program.pid, signal.SIGKILL)
    await program.wait()
    for pid in pids:
        await ended(pid)


@pytest.mark.slow
async def test_two_hundred_restarts_leave_no_descriptor_and_no_process() -> None:
    def counted() -> tuple[int, int]:
        gc.collect()  # what earlier tests have left behind may close its descriptors at any time
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(list(Path("/proc/self/fd").iterdir())), len(children)

    async def once() -> None:
        process = await start(["/bin/true"], environment({}), stdin=True)
        await process.finish((), grace=20)

    await once()
    before = counted()
    for _ in range(50):
        await asyncio.gather(*(once() for _ in range(4)))
    assert not [now for now, then in zip(counted(), before, strict=True) if now > then]
