"""The official conformance scenarios of the Model Context Protocol, run against a client of ours.

tests/contract/test_mcp_conformance.py calls it. It needs Node.js 22, which PyPI's wheel has.
"""

import functools
import hashlib
import shutil
import sys
from pathlib import Path

from tests.parts.cache import announce, once, run
from tests.parts.node import npm, wheel

LOCKED = Path(__file__).parent / "conformance"
CLIENT = f"{sys.executable} -m tests.parts.conformance_client"


@functools.cache
def program() -> Path:
    """Its entry point. Raises PartMissing."""
    lock = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()[:12]
    found = once(f"conformance/{lock}", _install)
    return found / "node_modules/@modelcontextprotocol/conformance/dist/index.js"


def _install(folder: Path) -> None:
    announce("installing the conformance scenarios with npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKED / name, folder / name)
    run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)


def command(scenario: str) -> list[str | Path]:
    """The words that run one scenario against our client."""
    return [wheel() / "bin" / "node", program(), "client", "--command", CLIENT, "--scenario", scenario]
