"""Where the peers live: one virtual environment or server binary each, at pinned versions, in the cache of parts.

`python -m bench.peers.places` makes them all. Nothing is written into the clone.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.parts.cache import PartMissing, announce, once, run

PYTHON: dict[str, tuple[str, ...]] = {
    "langgraph": (
        "langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2", "langgraph-checkpoint-postgres==3.2.0",
        "psycopg[binary,pool]==3.3.9",
    ),
    "dbos": ("dbos==3.4.0", "psycopg[binary]==3.3.9"),
    "restate": ("restate-sdk[serde]==1.3.0", "hypercorn==0.18.0"),
}  # fmt: skip
"""What stands in each environment, beside aiohttp and uvloop."""
COMMON = ("aiohttp==3.14.5", "uvloop==0.23.0")
_TOOLS = str(Path(__file__).parents[2] / ".tools" / "bin")
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"
"""The server's own npm package carries its binary."""


def python(peer: str) -> Path:
    """The interpreter of a peer's environment, made on first use. Raises PartMissing.

    It is the one that runs ours: one built without optimisation would make a peer slower than it is.
    """
    wanted, own = PYTHON[peer], Path(sys.executable).resolve()

    def make(folder: Path) -> None:
        announce(f"making an environment for {wanted[0]}")
        if uv := shutil.which("uv") or shutil.which("uv", path=_TOOLS):
            run([uv, "venv", "--quiet", "--python", own, folder])
            into: list[str | Path] = ["--quiet", "--compile-bytecode", "--python", folder / "bin" / "python"]
            run([uv, "pip", "install", *into, *wanted, *COMMON])
        else:
            run([own, "-m", "venv", folder])
            run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted, *COMMON])

    version = wanted[0].rpartition("==")[2]
    built = hashlib.sha256(f"{own} {sys.version}".encode()).hexdigest()[:8]
    return once(f"peers/{peer}-{version}-{built}", make) / "bin" / "python"


def restate_server() -> Path:
    """The binary of Restate's server. Raises PartMissing."""
    if shutil.which("npm") is None:
        raise PartMissing("Restate's server comes as an npm package and there is no npm here: install Node.js")

    def make(folder: Path) -> None:
        announce(f"fetching {RESTATE_SERVER}")
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, RESTATE_SERVER])

    place = once(f"peers/restate-server-{RESTATE_SERVER.rpartition('@')[2]}", make)
    found = list(place.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not found:
        raise PartMissing(f"{RESTATE_SERVER} brought no binary for this kind of machine")
    return found[0]


def why_missing(make: Callable[[], object]) -> str:
    """ "" when a part is there or could be made, else the reason in one line."""
    try:
        make()
    except PartMissing as missing:
        return str(missing).strip().splitlines()[-1][:200]
    return ""


if __name__ == "__main__":
    for peer in ("langgraph", "dbos", "restate"):
        print(python(peer))
    print(restate_server())
