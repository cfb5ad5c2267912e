"""The container images of the node, made without a registry: pause, Debian with Python, and our own.

machine/__main__.py makes them and machine/outside.py reads them; each is an archive in the cache. They need root,
and the packages of needs.py.
"""

import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.parts.cache import PartMissing, announce, cache, installer, once, run

ROOT = Path(__file__).parents[3]
PAUSE = "localhost/pause:1"
PAUSE_PLACE = "machine/pause-1"
PYTHON = "localhost/python:3.11"
OURS = re.search(r'"(.*)"', (ROOT / "src/kubechain/__init__.py").read_text("utf-8").split("__version__")[1])
PRODUCT = f"kubechain:{OURS[1] if OURS else 'test'}"
SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
UNREAD = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")
"""What no pod reads."""
SOURCES = ("deploy/image", "src", "pyproject.toml", "README.md", "LICENSE")
"""What the image of the product is built from."""
KEPT = 3
BUILD_SECONDS = 600.0
STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{0}/storage"\nrunroot = "{0}/run"\n'
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{0}/tmp"
"""
"""podman for a root that may not raise limits, on a machine without systemd."""


def pause() -> Path:
    """The first process of every pod: catatonit, which waits and reaps."""

    def make(folder: Path) -> None:
        program = shutil.which("catatonit") or "/usr/bin/catatonit"
        with tempfile.TemporaryDirectory() as root:
            shutil.copy(program, Path(root, "catatonit"))
            archive(Path(root), PAUSE, folder / "image.tar", ["/catatonit", "-P"])

    return once(PAUSE_PLACE, make) / "image.tar"


def python() -> Path:
    """Debian with Python 3.11, from the mirror that this machine's apt asks."""

    def make(folder: Path) -> None:
        announce(f"building {PYTHON} with debootstrap: two minutes, once")
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch, "root")
            wanted = f"--include={','.join(PACKAGES)}"
            run(["debootstrap", "--variant=minbase", wanted, SUITE, root, *mirror()], timeout=BUILD_SECONDS)
            for path in UNREAD:
                shutil.rmtree(root / path, ignore_errors=True)
                (root / path).mkdir(parents=True)
            for path in ("etc/apt/sources.list", "etc/resolv.conf"):
                (root / path).write_text("")
            archive(root, PYTHON, folder / "image.tar")

    return once(f"machine/python-{digest([repr((SUITE, PACKAGES, UNREAD)).encode()])}", make) / "image.tar"


def installed() -> list[Path]:
    """What the node is given, but never made: PartMissing where the image of this clone is not there yet."""
    made = [cache() / name / "image.tar" for name in (PAUSE_PLACE, _product_place())]
    if missing := [image for image in made if not image.is_file()]:
        raise PartMissing(
            f"no {missing[0]} yet: `python -m tests.parts.machine` builds our image in half a minute"
        )
    return made


def product() -> Path:
    """The image of this clone, as `make image` builds it, under the name that a node looks for."""
    base = python()

    def make(folder: Path) -> None:
        announce(f"building {PRODUCT} with podman: half a minute")
        with tempfile.TemporaryDirectory() as scratch:
            inside = [
                sys.executable,
                "-m",
                "tests.parts.machine.images",
                scratch,
                str(base),
                str(folder / "image.tar"),
            ]
            run(["unshare", "--mount", *inside], timeout=BUILD_SECONDS, cwd=ROOT)

    made = once(_product_place(), make)
    for old in sorted(cache().glob("machine/product-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return made / "image.tar"


def _product_place() -> str:
    files = sorted(path for name in SOURCES for path in _files(ROOT / name))
    return f"machine/product-{digest(path.read_bytes() for path in files)}"


def archive(root: Path, name: str, into: Path, entrypoint: Iterable[str] = ()) -> None:
    """Packs a folder as an image of one layer, in the format of `docker save`."""
    with tempfile.TemporaryFile() as layer:
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(root, arcname=".", filter=_of_root)
        size = layer.tell()
        layer.seek(0)
        unpacked = f"sha256:{hashlib.file_digest(layer, 'sha256').hexdigest()}"
        layer.seek(0)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [*entrypoint], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]},
            "history": [{"created": "1970-01-01T00:00:00Z"}],
            "rootfs": {"type": "layers", "diff_ids": [unpacked]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(into, "w") as tar:
            for path, value in (("config.json", config), ("manifest.json", manifest)):
                text = json.dumps(value).encode()
                tar.addfile(_member(path, len(text)), io.BytesIO(text))
            tar.addfile(_member("layer.tar", size), layer)


def mirror() -> list[str]:
    """The first mirror of this machine's apt, if it has one."""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]:
        if path.is_file() and (found := re.search(r"^(?:URIs:|deb)\s.*?(https?://\S+)", path.read_text(), re.M)):
            return [found[1]]
    return []


def digest(parts: Iterable[bytes]) -> str:
    """A short name for what something is made of."""
    made = hashlib.sha256()
    for part in parts:
        made.update(hashlib.sha256(part).digest())
    return made.hexdigest()[:12]


def build(scratch: Path, base: Path, into: Path) -> None:
    """Builds the product with storage of its own in `scratch`; runs in a mount namespace that ends with it.

    `scratch` is in memory: a disk takes its time over ten thousand small files, to delete them too.
    """
    run(["mount", "-t", "tmpfs", "-o", "mode=711", "scratch", scratch])
    for name, text in (("storage.conf", STORAGE), ("containers.conf", CONTAINERS)):
        (scratch / name).write_text(text.format(scratch))
    os.environ["CONTAINERS_STORAGE_CONF"] = str(scratch / "storage.conf")
    os.environ["CONTAINERS_CONF"] = str(scratch / "containers.conf")
    os.environ |= {"BUILDER": "podman", "BASE": PYTHON, "BUILD_FLAGS": " ".join(pip_of_this_machine(scratch))}
    run(["podman", "load", "--quiet", "--input", base])
    run([ROOT / "deploy/image/build", PRODUCT])
    run(["podman", "save", "--quiet", "--output", into, f"docker.io/library/{PRODUCT}"])


def pip_of_this_machine(scratch: Path) -> list[str]:
    """Flags that let the pip of the build ask whom the pip of this machine asks; none of it ends in the image."""
    told = run([*installer(), "config", "list"]) if "uv" not in Path(installer()[0]).name else ""
    said = dict(re.findall(r"^(?:global|:env:|install)\.([a-z-]+)='(.*)'$", told, re.MULTILINE))
    lines = [f"{name} = {said[name]}" for name in ("index-url", "extra-index-url", "trusted-host") if name in said]
    flags = ["--network=host"]
    if "cert" in said:
        lines.append("cert = /run/authorities.pem")
        flags.append(f"--volume={said['cert']}:/run/authorities.pem:ro")
    (scratch / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return [*flags, f"--volume={scratch}/pip.conf:/etc/pip.conf:ro"]


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return [one for one in found if "__pycache__" not in one.parts]


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _member(path: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size = size
    return member


if __name__ == "__main__":
    build(*map(Path, sys.argv[1:]))
