"""A model server that we did not write: npm's @copilotkit/aimock, which speaks every provider's wire.

Story, crash and contract tests of model adapters call it with a folder of fixtures; by hand,
`python -m tests.parts.aimock [FOLDER]` serves until it is interrupted. It holds no conversation of
ours: it answers from the messages it is sent, so a run that forgets its transcript is found out.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.cache import announce
from tests.parts.node import modules, node
from tests.parts.process import Process, accepts, free_ports, until_interrupted

FIXTURES = Path(__file__).parent / "fixtures"


class Aimock:
    """`async with Aimock() as model:` serves the fixtures on `model.base_url` (no /v1 at its end).

    `keys` are the API keys it takes, all others get 401; none means that it takes any. `options`
    are its own flags, such as "--latency", "50" or "--chaos-disconnect", "0.5".
    """

    def __init__(
        self, fixtures: Path = FIXTURES, *, keys: Iterable[str] = (), options: Iterable[str] = ()
    ) -> None:
        self.fixtures = fixtures
        self.keys = tuple(keys)
        self.options = tuple(options)
        self.base_url = ""

    async def __aenter__(self) -> Self:
        program = await asyncio.to_thread(lambda: modules() / "@copilotkit/aimock/dist/cli.js")
        async with contextlib.AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="aimock-"))
            (port,) = free_ports(1)
            argv: list[str | Path] = [node(), program, *self._flags(port)]
            env = {"PATH": os.environ["PATH"], "HOME": folder, **self._auth()}
            process = await Process.start("aimock", argv, Path(folder) / "log", env)
            stack.push_async_callback(process.stop)
            await process.ready(lambda: accepts(port))
            self.base_url = f"http://127.0.0.1:{port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def journal(self) -> list[dict[str, Any]]:
        """Every model request since the last reset, oldest first: method, path, body, response.status."""
        entries: list[dict[str, Any]] = json.loads(await self._control("GET", "journal"))
        return entries

    async def reset(self) -> None:
        """Forget the journal; a `sequenceIndex` counts on, so a new order of answers needs a new Aimock."""
        await self._control("POST", "reset/journal")

    def _flags(self, port: int) -> list[str]:
        own = ["-h", "127.0.0.1", "-p", str(port), "-f", str(self.fixtures)]
        return [*own, "--validate-on-load", "--journal-max", "0", *self.options]

    def _auth(self) -> dict[str, str]:
        return {"AIMOCK_API_KEYS": ",".join(self.keys)} if self.keys else {}

    async def _control(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.keys[0]}"} if self.keys else {}
        url = f"{self.base_url}/__aimock/{path}"
        request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310
        return await asyncio.to_thread(fetch, request)


def fetch(request: urllib.request.Request) -> bytes:
    """The body of one answer, within ten seconds."""
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        body: bytes = answer.read()
        return body


async def serve(fixtures: Path) -> None:
    """Serve until interrupted."""
    async with Aimock(fixtures) as model:
        announce(f"aimock answers on {model.base_url}/v1 from {fixtures}")
        await until_interrupted()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES))
