"""podman with storage and settings of its own, and an image made from scratch: busybox and nothing else.

Tests of container tools call it. `python -m tests.parts.podman` installs what is missing, as root on Debian.
Nothing of the containers, images and settings of the machine is read or written.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.cache import PartMissing, announce, cache, once, run
from tests.parts.machine.images import CONTAINERS, STORAGE, archive
from tests.parts.machine.needs import PLACES
from tests.parts.process import Process

PROGRAMS = {"podman": "podman", "runc": "runc", "buildah": "buildah", "busybox": "busybox-static"}
"""Program -> Debian's package of it."""
BUSYBOX = "localhost/busybox:1"
PLACE = "podman/busybox-3"
SECONDS = 60.0


@dataclass(frozen=True)
class Podman:
    """podman as its tests have it: `environment` leads it to its own settings and storage."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def __call__(self, *words: str) -> str:
        """What podman prints; it must succeed."""
        done = subprocess.run(
            ["podman", *words],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        return done.stdout

    def left(self, uid: str = "") -> list[str]:
        """The names of all containers, or of those of one ToolCall."""
        only = [f"--filter=label=kubechain.humanlayer.dev/toolcall-uid={uid}"] if uid else []
        return sorted(self("ps", "--all", "--format={{.Names}}", *only).split())

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The address under which it answers as docker does."""
        with tempfile.TemporaryDirectory() as folder:
            socket = Path(folder, "docker.sock")
            server = await Process.start(
                "podman system service",
                ["podman", "system", "service", "--time=0", f"unix://{socket}"],
                Path(folder, "log"),
                os.environ | self.environment,
            )

            async def there() -> bool:
                return socket.exists()

            try:
                await server.ready(there)
                yield f"unix://{socket}"
            finally:
                await server.stop()


def cannot() -> str:
    """Why podman cannot run here, whatever is installed; "" where it can."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "podman with storage of its own needs root on Linux"
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "podman needs namespaces, and this machine gives none"


def missing() -> list[str]:
    """Packages of Debian that are not installed."""
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=PLACES)})


def install() -> None:
    """Installs the missing packages. Raises PartMissing."""
    if not (packages := missing()):
        return
    if not shutil.which("apt-get"):
        raise PartMissing(f"install these for tests with containers: {', '.join(packages)}")
    announce(f"installing {', '.join(packages)} with apt-get")
    quietly = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    run([*quietly, "update"])
    run([*quietly, "install", "--yes", "--no-install-recommends", *packages])


def installed() -> Podman:
    """podman with the image, which is made once. Raises PartMissing where a package is missing."""
    if packages := missing():
        raise PartMissing(f"no {', '.join(packages)}: run `python -m tests.parts.podman` as root")
    return Podman(once(PLACE, _make))


def image() -> Path:
    """An archive of the image, for a node."""
    return cache() / PLACE / "image.tar"


def _make(folder: Path) -> None:
    place = cache() / PLACE  # where the folder is moved to when it is complete
    (folder / "storage").mkdir()
    for name, text in (("storage.conf", STORAGE), ("containers.conf", CONTAINERS)):
        (folder / name).write_text(text.format(place))
    with tempfile.TemporaryDirectory() as root:
        programs = Path(root, "bin")
        programs.mkdir()
        Path(root, "tmp").mkdir()
        Path(root, "tmp").chmod(0o1777)
        busybox = shutil.which("busybox", path=PLACES) or "/bin/busybox"
        shutil.copy(busybox, programs / "busybox")
        for applet in run([busybox, "--list"]).split():
            if applet != "busybox":
                (programs / applet).symlink_to("busybox")
        archive(Path(root), BUSYBOX, folder / "image.tar")


def ready() -> Podman:
    """podman with the image in its storage."""
    podman = installed()
    if not podman("images", "--quiet", BUSYBOX).strip():
        podman("load", "--quiet", "--input", str(image()))
    return podman


async def serve() -> None:
    """Serves as docker until it is interrupted."""
    async with ready().served() as address:
        announce(f"DOCKER_HOST={address}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    if why := cannot():
        announce(f"no podman on this machine: {why}")
    else:
        install()
        variables = " ".join(f"{name}={value}" for name, value in ready().environment.items())
        announce(f"podman: {variables} podman images")
        if sys.argv[1:] == ["serve"]:
            asyncio.run(serve())
