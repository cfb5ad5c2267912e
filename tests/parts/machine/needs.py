"""What a machine must have for a node: root, the cgroups that kubelet and runc use here, and programs of Debian.

machine/__main__.py installs the programs; outside.py and the tests ask what is missing.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.parts.cache import PartMissing, announce, run

PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "ptp": "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "socat": "socat",
    "catatonit": "catatonit",
    "podman": "podman",
    "debootstrap": "debootstrap",
}
"""Program -> Debian's package of it."""
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/cni"))
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "cpu", "pids", "devices", "freezer")
NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc")
MOUNTS = (
    f"mount -t tmpfs none {CGROUPS} && mkdir {CGROUPS}/memory && mount -t cgroup -o memory none {CGROUPS}/memory"
)
"""What a node does first, tried in namespaces that end with it."""


def cannot() -> str:
    """Why no node can run on this machine, whatever is installed; "" where one can."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "a real node needs root on Linux"
    places = [CGROUPS / name for name in CONTROLLERS]
    if lacking := [place.name for place in places if not (place / "cgroup.procs").exists()]:
        return f"a real node needs cgroup v1, and this machine has no {', '.join(lacking)} at {CGROUPS}"
    if closed := [place.name for place in places if not os.access(place, os.W_OK)]:
        return f"a real node needs cgroups that it can write, and {', '.join(closed)} cannot be written"
    done = subprocess.run(
        ["unshare", *NAMESPACES, "sh", "-c", MOUNTS], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        return f"a real node needs namespaces and mounts of its own: {done.stderr.splitlines()[0]}"
    return ""


def missing() -> list[str]:
    """Packages of Debian that are not installed."""
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=PLACES)})


def install() -> None:
    """Installs the missing packages. Raises PartMissing."""
    if not (packages := missing()):
        return
    if not shutil.which("apt-get"):
        raise PartMissing(f"install these for a real node: {', '.join(packages)}")
    announce(f"installing {', '.join(packages)} with apt-get")
    quietly = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    run([*quietly, "update"])
    run([*quietly, "install", "--yes", "--no-install-recommends", *packages])


def hierarchies() -> Iterator[Path]:
    """Where the controllers of cgroup v1 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup":
            yield Path(place)
