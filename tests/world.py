"""A running server over a real store, for tests that speak to it as users do.

Fixtures of the contract and story tests call `world`; nothing here decides what is right.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubechain.runtime.api import Api
from kubechain.runtime.clock import now
from kubechain.server import tls
from kubechain.server.http import Server, serve
from kubechain.server.settings import ADMIN, ServerSettings, User
from kubechain.store.engine import Store
from tests.parts.cache import PartMissing
from tests.parts.kubectl import kubectl

TOKEN = "admin-token-of-a-test"
PLAIN_TOKEN = "token-of-a-user-without-rights"
SECONDS = 30.0


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The words of every printed line."""
        return [line.split() for line in self.out.splitlines()]


@dataclass(frozen=True)
class World:
    """A running server: its port `Api`, its address, a kubeconfig of an administrator."""

    api: Api
    server: Server
    kubeconfig: Path
    ca: Path
    home: Path

    def command(self, *words: str, version: str = "1.32") -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of a kubectl of that version."""
        return kubectl_command(*words, version=version, kubeconfig=self.kubeconfig, home=self.home)

    async def kubectl(self, *words: str, stdin: str = "", version: str = "1.32", **environment: str) -> Said:
        """Runs kubectl to its end, which comes within half a minute or fails the test."""
        command, base = self.command(*words, version=version)
        return await said(command, base | environment, stdin)

    async def ok(self, *words: str, stdin: str = "", version: str = "1.32", **environment: str) -> str:
        """The output of a kubectl that must succeed."""
        said = await self.kubectl(*words, stdin=stdin, version=version, **environment)
        assert said.code == 0, f"kubectl {' '.join(words)}: {said.err}{said.out}"
        return said.out


def kubectl_command(*words: str, version: str, kubeconfig: Path, home: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of a kubectl of that version."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "KUBECONFIG": str(kubeconfig),
        "KUBECTL_KUBERC": "false",
    }
    return [str(kubectl_or_skip(version)), *words], environment


async def said(command: list[str], environment: dict[str, str], stdin: str = "") -> Said:
    """How a command ended, which it does within half a minute or fails the test."""
    async with asyncio.timeout(SECONDS):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
    return Said(process.returncode or 0, out.decode(), err.decode())


def kubectl_or_skip(version: str) -> Path:
    """The binary; where none can be had the test is skipped, on CI it fails."""
    try:
        return kubectl(version)
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no kubectl {version}: {missing}")


def _store(directory: Path) -> AbstractAsyncContextManager[Store]:
    return Store.open(directory / "kubechain.db", clock=now, synchronous="OFF")


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    """A store and a server in `directory`; both end with the block."""
    files = tls.ensure(directory / "tls", now)
    settings = ServerSettings(
        certificate=files.certificate,
        private_key=files.private_key,
        tokens={TOKEN: ADMIN, PLAIN_TOKEN: User("nobody")},
        clock=now,
    )
    async with _store(directory) as api, serve(api, settings) as server:
        kubeconfig = directory / "kubeconfig"
        tls.write_private(kubeconfig, tls.kubeconfig(server.url, files.ca_pem, TOKEN).encode())
        yield World(api, server, kubeconfig, directory / "tls" / "ca.crt", directory)
