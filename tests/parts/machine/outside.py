"""The node from outside: started in namespaces of its own, reached through 127.0.0.1, ended with everything in it.

What it touches outside them: its temporary folder, and one cgroup for each controller of cgroup v1.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import apiserver, kuberouter
from tests.parts.cache import PartMissing
from tests.parts.machine import needs, settings
from tests.parts.process import Process, accepts, free_ports

ROOT = Path(__file__).parents[3]
SECONDS = 120.0


class Machine:
    """`async with Machine(images, model) as machine`: a node that takes pods, gone afterwards.

    `images` are archives for it; pods reach port `model` of 127.0.0.1 as `machine.model`. PartMissing where this
    machine cannot run one, or a program is not there yet. `machine.kubeconfig` is an administrator's.
    """

    model = f"http://{settings.ADDRESS}:{settings.MODEL_PORT}"

    def __init__(self, images: Iterable[Path], model: int) -> None:
        self._images = [*images]
        self._model = model
        self.seconds = 0.0
        """How long the start took."""

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        programs = await asyncio.to_thread(_programs)
        async with contextlib.AsyncExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="node-")))
            for name in ("log", "lib", "kubelet", "containerd", "images"):
                (self.folder / name).mkdir()
            for number, image in enumerate(self._images):
                (self.folder / "images" / f"{number}.tar").symlink_to(image)
            groups = stack.enter_context(_cgroups(self.folder.name))
            await self._start(stack, programs, groups)
            (port,) = free_ports(1)
            listen, connect = (
                f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                f"UNIX-CONNECT:{self.folder}/api.sock",
            )
            api = await Process.start("forward", ["socat", listen, connect], self.folder / "log" / "forward.log")
            stack.push_async_callback(api.stop)
            await api.ready(lambda: accepts(port))
            self._write_kubeconfig(port)
            self._stack = stack.pop_all()
        self.seconds = time.monotonic() - began
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def kill(self, pod: str) -> int:
        """Ends every process of a pod, given by its uid, at once with SIGKILL; how many there were."""
        folders = (_group("memory", self.folder.name)).glob(f"kubepods/**/pod{pod}/*/cgroup.procs")
        processes = [int(line) for path in folders for line in path.read_text().split()]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # it ended with the first of its container
                os.kill(process, signal.SIGKILL)
        return len(processes)

    async def _start(self, stack: contextlib.AsyncExitStack, programs: list[Path], groups: list[Path]) -> None:
        log, model = self.folder / "log" / "inside.log", self.folder / "model.sock"
        words = ["socat", f"UNIX-LISTEN:{model},fork", f"TCP:127.0.0.1:{self._model}"]
        forward = await Process.start("forward", words, self.folder / "log" / "forward-out.log")
        stack.push_async_callback(forward.stop)
        controllers = ",".join(group.parent.name for group in groups)
        inside: list[str | Path] = [
            sys.executable,
            "-m",
            "tests.parts.machine.inside",
            self.folder,
            *programs,
            controllers,
        ]
        # The shell enters our cgroups, which are the roots of those that are seen inside.
        enter = "".join(f"echo $$ >{group}/cgroup.procs && " for group in groups)
        unshare: list[str | Path] = ["unshare", *needs.NAMESPACES, "--kill-child=SIGKILL", *inside]
        node = await Process.start(
            "the node", ["sh", "-c", f'{enter}exec "$@"', "sh", *unshare], log, _environment()
        )
        stack.push_async_callback(node.stop)
        await node.ready(self._is_ready, SECONDS)

    async def _is_ready(self) -> bool:
        return (self.folder / "ready").exists()

    def _write_kubeconfig(self, port: int) -> None:
        text = (self.folder / "admin.kubeconfig").read_text().replace(settings.URL, f"https://localhost:{port}")
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(json.loads(text), indent=2))


def _programs() -> list[Path]:
    if why := needs.cannot():
        raise PartMissing(why)
    if packages := needs.missing():
        raise PartMissing(
            f"a real node needs {', '.join(packages)}: `python -m tests.parts.machine` installs them"
        )
    return [apiserver.installed(), kuberouter.installed()]


def _environment() -> dict[str, str]:
    return {"PATH": needs.PLACES, "PYTHONPATH": str(ROOT), "HOME": "/root"}


@contextlib.contextmanager
def _cgroups(name: str) -> Iterator[list[Path]]:
    """A cgroup of that name in every hierarchy; deleted with all that is in it."""
    groups = [place / name for place in needs.hierarchies()]
    try:
        for group in groups:
            group.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (group / file).exists():
                    (group / file).write_text((group.parent / file).read_text())
        yield groups
    finally:
        for group in groups:
            _delete(group)


def _group(controller: str, name: str) -> Path:
    return needs.CGROUPS / controller / name


def _delete(group: Path) -> None:
    """The kernel lets go of a cgroup a moment after its last process."""
    deadline = time.monotonic() + 10
    while group.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.05)
