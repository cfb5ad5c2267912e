"""Waiting for processes and named pipes in tests, without polling."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


async def ended(pid: int) -> None:
    """Returns when the process is gone, whoever's child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)
    try:
        async with asyncio.timeout(60):
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def pipe(folder: Path, name: str) -> Path:
    """A named pipe: opening it waits until somebody opens the other end."""
    path = folder / name
    os.mkfifo(path)
    return path


async def heard(path: Path) -> str:
    """What somebody writes into a named pipe."""
    async with _released(path):
        return await asyncio.to_thread(path.read_text)


async def said(path: Path, text: str = "go") -> None:
    """Writes into a named pipe, once somebody reads it."""
    async with _released(path):
        await asyncio.to_thread(path.write_text, text)


@asynccontextmanager
async def _released(path: Path) -> AsyncIterator[None]:
    """At most a minute; then the thread that waits for the other end is let go, so that the test can fail."""
    try:
        async with asyncio.timeout(60):
            yield
    except TimeoutError:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        raise
