"""A server of an OpenAPI document that we did not write: Stoplight's Prism, pinned in node/package-lock.json.

Tests of the tool kind `openapi` call it; `python -m tests.parts.prism FILE` serves a document until it is
interrupted. It answers every operation from the document, and refuses what the document does not allow.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.cache import announce
from tests.parts.node import modules, node
from tests.parts.process import Process, accepts, free_ports, until_interrupted


class Prism:
    """`async with Prism(made) as server:` serves `made(port)`, a document, at `server.url`."""

    def __init__(self, made: Callable[[int], dict[str, Any]]) -> None:
        self._made = made
        self.document: dict[str, Any] = {}
        self.url = ""

    async def __aenter__(self) -> Self:
        program = await asyncio.to_thread(lambda: modules() / "@stoplight/prism-cli/dist/index.js")
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prism-")))
            (port,) = free_ports(1)
            self.document = self._made(port)
            (folder / "document.json").write_text(json.dumps(self.document))
            flags = ["mock", "-h", "127.0.0.1", "-p", str(port), "--errors"]
            argv: list[str | Path] = [node(), program, *flags, folder / "document.json"]
            env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
            process = await Process.start("prism", argv, folder / "log", env)
            stack.push_async_callback(process.stop)
            await process.ready(lambda: accepts(port))
            self.url = f"http://127.0.0.1:{port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


async def serve(file: Path) -> None:
    """Serve until interrupted."""
    async with Prism(lambda _: json.loads(file.read_text())) as server:
        announce(f"prism answers on {server.url}")
        await until_interrupted()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
