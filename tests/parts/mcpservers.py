"""The reference MCP servers: everything, filesystem and memory from npm, time, git and fetch from PyPI.

Stories call it for what to start; `python -m tests.parts.mcpservers` installs them by hand. The Python ones are in
a folder of their own, pinned with hashes in tests/parts/mcp/requirements.lock, and are found by PYTHONPATH.
"""

import functools
import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.cache import announce, installer, once, run
from tests.parts.node import modules, node

LOCK = Path(__file__).parent / "mcp" / "requirements.lock"


@dataclass(frozen=True)
class ServerProgram:
    """What to start, and the variables that it needs."""

    command: str
    args: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


@functools.cache
def packages() -> Path:
    """The folder with the servers of PyPI, named by the lock file's hash."""
    return once(f"mcp/{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}", install)


def install(folder: Path) -> None:
    """The packages of the lock file, and nothing else."""
    announce("installing the MCP servers of tests/parts/mcp/requirements.lock")
    words = ["install", "--quiet", "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(LOCK)]
    run([*installer(), *words])


def from_npm(name: str, *args: str, **env: str) -> ServerProgram:
    """The server of @modelcontextprotocol of that name."""
    place = modules() / "@modelcontextprotocol" / f"server-{name}" / "dist" / "index.js"
    return ServerProgram(str(node()), (str(place), *args), env)


def from_pypi(name: str, *args: str, **env: str) -> ServerProgram:
    """The server of PyPI of that name."""
    place = {"PYTHONPATH": str(packages()), **env}
    return ServerProgram(sys.executable, ("-m", f"mcp_server_{name}", *args), place)


if __name__ == "__main__":
    announce(f"from npm: {modules()}")
    announce(f"from PyPI: {packages()}")
