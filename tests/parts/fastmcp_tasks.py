"""FastMCP with its tasks extension, in an environment of its own: it needs 70 distributions that we do not.

Tests of remote tasks call it; `python -m tests.parts.fastmcp_tasks` installs by hand, once and in a minute.
"""

import asyncio
import functools
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.cache import announce, installer, once, run
from tests.parts.process import Process, accepts, free_ports

REQUIREMENT = (Path(__file__).parent / "fastmcp" / "requirements.txt").read_text().strip()
SERVER = Path(__file__).parent / "fastmcp" / "server.py"


@functools.cache
def folder() -> Path:
    """A folder to import it from. Raises PartMissing."""
    return once(f"fastmcp/{REQUIREMENT.partition('==')[2]}", _install)


def _install(place: Path) -> None:
    announce(f"installing {REQUIREMENT} from PyPI")
    run([*installer(), "install", "--quiet", "--target", place, REQUIREMENT])


class TaskServer:
    """`async with TaskServer(folder) as server`: serves at `server.url`; its journal is `server.journal`."""

    def __init__(self, place: Path) -> None:
        self.journal = place / "journal"
        self._log = place / "log"
        self._port = free_ports(1)[0]
        self._running: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/mcp"

    def lines(self) -> list[str]:
        """What it has begun."""
        return self.journal.read_text().split() if self.journal.exists() else []

    def go(self) -> None:
        """Its task may end."""
        self.journal.with_suffix(".go").touch()

    async def __aenter__(self) -> Self:
        found = await asyncio.to_thread(folder)
        argv: list[str | Path] = [sys.executable, SERVER, str(self._port), self.journal]
        env = {"PYTHONPATH": str(found), "HOME": str(self._log.parent), "PATH": ""}
        self._running = await Process.start("FastMCP", argv, self._log, env)
        await self._running.ready(lambda: accepts(self._port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            await self._running.stop()


if __name__ == "__main__":
    announce(f"FastMCP: {folder()}")
