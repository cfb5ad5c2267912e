"""A tool process is the same wherever it is started: on this machine, or by a tool host in another container."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubechain.errors import Transient
from kubechain.providers.tools.beside import starter as beside_module
from kubechain.providers.tools.beside.starter import beside
from kubechain.providers.tools.function.calls import FunctionCall
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.starting import PYTHON, Command, ProgramNotFound, Starter, drain, ending, here
from tests.unit.tools.processes import ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a tool host runs on Linux alone")
SECONDS = 30.0
HOST = """
import asyncio, sys
from pathlib import Path
from kubechain.providers.tools.beside.host import serve
asyncio.run(serve(Path(sys.argv[1]), lambda: print("connected", flush=True)))
"""


@asynccontextmanager
async def host(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A tool host in a process of its own, connected."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOST,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={"HOME": "/host", "PATH": "/bin"},
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(SECONDS):
            assert await program.stdout.readline() == b"connected\n"
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@pytest.fixture(params=["here", "beside"])
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Starter]:
    if request.param == "here":
        yield here
        return
    path = tmp_path / "tools.sock"
    async with beside(path) as starter, host(path):
        yield starter


def script(code: str, **env: str) -> Command:
    return Command(PYTHON, ("-I", "-S", "-u", "-c", code), env)


async def test_what_it_writes_and_reads_goes_by_pipes(start: Starter) -> None:
    process = await start(script("import sys; print(sys.stdin.read()[::-1]); print('e', file=sys.stderr)"), True)
    async with asyncio.timeout(SECONDS):
        process.write(b"abc" * 100_000)
        await process.drained()
        process.close_stdin()
        assert await process.stdout.read() == b"cba" * 100_000 + b"\n"
        assert await process.stderr.read() == b"e\n"
        assert await process.finish((), grace=SECONDS)
    assert ending(process) == "exited with code 0"


async def test_a_socket_can_be_its_stdin(start: Starter) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await start(script("import socket; socket.socket(fileno=0).sendall(b'hello')"), theirs)
        ours.setblocking(False)
        async with asyncio.timeout(SECONDS):
            assert await asyncio.get_running_loop().sock_recv(ours, 100) == b"hello"
            assert await asyncio.get_running_loop().sock_recv(ours, 100) == b""
        await process.finish(())


async def test_it_sees_the_environment_of_its_manifest_and_the_least_that_programs_need(start: Starter) -> None:
    process = await start(script("import os; print(sorted(os.environ))", GIVEN="1", LC_CTYPE="C.UTF-8"))
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.read() == b"['GIVEN', 'HOME', 'LC_CTYPE', 'PATH']\n"
    await process.finish(())


@pytest.mark.parametrize(
    ("code", "grace", "says", "by_itself"),
    [
        ("raise SystemExit(7)", SECONDS, "exited with code 7", True),
        ("import os; os.kill(os.getpid(), 11)", SECONDS, "was killed by SIGSEGV", True),
        ("import time; time.sleep(1000)", 0.0, "was killed by SIGKILL", False),
        ("import time; print(1); time.sleep(1000)", 0.1, "was killed by SIGTERM", False),
    ],
)
async def test_how_it_ended_is_known(start: Starter, code: str, grace: float, says: str, by_itself: bool) -> None:
    process = await start(script(code))
    async with asyncio.timeout(SECONDS):
        if "print" in code:
            await process.stdout.readline()
        assert await process.finish((), grace) is by_itself
    assert ending(process) == says


async def test_what_it_has_started_is_killed_with_it(start: Starter) -> None:
    child = "subprocess.Popen(['sleep', '999'], start_new_session=True)"
    process = await start(script(f"import subprocess, time; print({child}.pid); time.sleep(999)"))
    async with asyncio.timeout(SECONDS):
        pid = int(await process.stdout.readline())
        await process.finish(())
        await ended(pid)


async def test_a_task_that_is_cancelled_while_it_ends_kills_it_at_once(start: Starter) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(1000)"
    process = await start(script(code))
    async with asyncio.timeout(SECONDS):
        await process.stdout.readline()
        task = asyncio.create_task(process.finish((), 1000.0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert ending(process) == "was killed by SIGKILL"


async def test_a_program_that_is_not_there_is_named(start: Starter) -> None:
    with pytest.raises(ProgramNotFound):
        await start(Command("no-such-program"))


async def test_functions_run_in_it(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text("import os\ndef parent() -> str:\n    return os.environ['HOME']\n")
    functions = Functions([tmp_path], start)
    try:
        async with asyncio.timeout(SECONDS):
            found = await functions.call(FunctionCall("where:parent", b"{}", SECONDS))
        assert found == (os.environ["HOME"] if start is here else "/host")
    finally:
        await functions.close()


async def test_processes_end_with_their_host_and_the_next_host_starts_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "tools.sock"
    code = "import os, time; print(os.getpid()); time.sleep(1000)"
    async with beside(path) as start:
        async with host(path) as first:
            process = await start(script(code))
            async with asyncio.timeout(SECONDS):
                pid = int(await process.stdout.readline())
                first.send_signal(signal.SIGKILL)
                await drain(process.stdout)
                await process.finish(())
                await ended(pid)
            assert ending(process) == "was killed by SIGKILL"
        async with host(path):
            process = await start(script("print('again')"))
            async with asyncio.timeout(SECONDS):
                assert await process.stdout.readline() == b"again\n"
            await process.finish(())


async def test_processes_end_when_the_program_does_and_the_host_waits_for_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "tools.sock"
    async with beside(path) as start, host(path) as program:
        process = await start(script("import os, time; print(os.getpid()); time.sleep(1000)"))
        async with asyncio.timeout(SECONDS):
            pid = int(await process.stdout.readline())
        start.disconnect()
        async with asyncio.timeout(SECONDS):
            await ended(pid)
            assert program.stdout is not None
            assert b"killed" in await program.stdout.readline()
            assert await program.stdout.readline() == b"connected\n"


async def test_without_a_host_a_start_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_module, "AWAIT_SECONDS", 0.0)
    async with beside(tmp_path / "tools.sock") as start:
        with pytest.raises(Transient, match='container "tools"'):
            await start(Command(PYTHON))


@pytest.mark.slow
async def test_two_hundred_starts_leave_no_descriptor(tmp_path: Path) -> None:
    def counted() -> int:
        gc.collect()  # what earlier tests have left behind may close its descriptors at any time
        return len(list(Path("/proc/self/fd").iterdir()))

    path = tmp_path / "tools.sock"
    async with beside(path) as start, host(path) as program:

        async def once() -> None:
            process = await start(Command("/bin/true"), stdin=True)
            await process.finish((), grace=SECONDS)

        async def held() -> tuple[int, int]:
            await once()
            return counted(), len(list(Path(f"/proc/{program.pid}/fd").iterdir()))

        before = await held()
        for _ in range(50):
            await asyncio.gather(*(once() for _ in range(4)))
        assert not [now for now, then in zip(await held(), before, strict=True) if now > then]
