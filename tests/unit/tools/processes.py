"""Waiting for processes and named pipes in tests, without polling."""

import asyncio
import os
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
        async with asyncio.timeout(20):
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
    async with asyncio.timeout(20):
        return await asyncio.to_thread(path.read_text)


async def said(path: Path, text: str = "go") -> None:
    """Writes into a named pipe, once somebody reads it."""
    async with asyncio.timeout(20):
        await asyncio.to_thread(path.write_text, text)
