"""The cache outside the clone: each part is made once per machine and then only read.

Every module of this package calls it. It never writes into the repository and never leaves a
half-made part behind: a part is made in a hidden folder beside its place and then moved there.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

INSTALL_SECONDS = 600.0


class PartMissing(RuntimeError):
    """A part is neither installed nor installable here; the message says why and what to do next."""


def cache() -> Path:
    """The folder of all parts: $KUBECHAIN_CACHE, else $XDG_CACHE_HOME/kubechain, else ~/.cache/kubechain."""
    own = os.environ.get("KUBECHAIN_CACHE")
    if own:
        return Path(own).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "kubechain"


def announce(text: str) -> None:
    """Tell the person who waits what is happening, on stderr."""
    print(f"parts: {text}", file=sys.stderr, flush=True)


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `make(folder)` if it is not there yet.

    Several processes may ask at the same time: one makes, the others wait for its lock, which the
    kernel frees even when the maker is killed. A `make` that raises leaves nothing behind.
    """
    place = cache() / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_dir():
            return place
        making = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            make(making)
            making.chmod(0o755)
            making.rename(place)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return place


def run(argv: Sequence[str | Path], *, timeout: float = INSTALL_SECONDS, cwd: Path | None = None) -> str:
    """The standard output of a command that must succeed; PartMissing with its last words if it does not."""
    command = " ".join(str(word) for word in argv)
    try:
        done = subprocess.run(
            list(map(str, argv)), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PartMissing(f"`{command}` did not run: {error}") from error
    if done.returncode != 0:
        last_words = (done.stderr or done.stdout).strip()[-2000:]
        raise PartMissing(f"`{command}` ended with {done.returncode}: {last_words}")
    return done.stdout


def install_wheel(requirement: str, folder: Path) -> None:
    """Unpack one wheel of PyPI, without its dependencies, into `folder`."""
    announce(f"installing {requirement} from PyPI")
    run(
        [
            *installer(),
            "install",
            "--no-deps",
            "--quiet",
            "--only-binary",
            ":all:",
            "--target",
            folder,
            requirement,
        ]
    )


def installer() -> list[str]:
    """The words that run pip: ours, uv's, or that of the Python our virtual environment was made from."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    if subprocess.run([base, "-c", "import pip"], capture_output=True, timeout=60, check=False).returncode == 0:
        return [str(base), "-m", "pip"]
    raise PartMissing(f"no pip and no uv here: run `{sys.executable} -m ensurepip`, then try again")
