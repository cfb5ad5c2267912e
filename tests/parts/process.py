"""A server process of somebody else: started in its own group, watched while it starts, stopped whole.

aimock.py and apiserver.py call it. It never outlives its owner's `async with`, and never reads a
server's output through a pipe: a test that blocks the event loop must not block the server.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
RETRY_SECONDS = 0.05


class Process:
    """One running server, its output in a log file."""

    def __init__(self, name: str, log: Path, running: asyncio.subprocess.Process) -> None:
        self.name = name
        self.log = log
        self._running = running

    @classmethod
    async def start(
        cls, name: str, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> "Process":
        """Start a program; `env` is its whole environment, by default ours."""
        with log.open("ab") as output:
            running = await asyncio.create_subprocess_exec(
                *(str(word) for word in argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )
        return cls(name, log, running)

    async def ready(self, answers: Callable[[], Awaitable[bool]], seconds: float = READY_SECONDS) -> None:
        """Return when `answers()` is true; RuntimeError with the log's end if the process died or is late."""
        died = asyncio.ensure_future(self._running.wait())
        try:
            async with asyncio.timeout(seconds):
                while not await answers():
                    # A bounded connect retry: a port that opens has no event to wait for, a death has.
                    done, _ = await asyncio.wait([died], timeout=RETRY_SECONDS)
                    if done:
                        raise RuntimeError(f"{self.name} ended with {died.result()}:\n{self.last_words()}")
        except TimeoutError as error:
            late = f"{self.name} gave no answer in {seconds:.0f} s"
            raise RuntimeError(f"{late}:\n{self.last_words()}") from error
        finally:
            died.cancel()

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    async def stop(self) -> None:
        """End the whole process group: politely, then by force. Harmless when it is already dead."""
        if self._running.returncode is not None:
            return
        for how, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, how)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._running.wait(), seconds)
                return


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody holds; all are held at once while looking, so they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def accepts(port: int) -> bool:
    """True when something on 127.0.0.1 takes a connection on this port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def until_interrupted() -> None:
    """Return on SIGINT or SIGTERM, so that what was started is also stopped."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await told.wait()
