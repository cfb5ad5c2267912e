"""The engine of this machine: finds podman or docker, and asks it about containers and images.

`local` calls it. Every question is one command that ends by itself or is killed; nothing is asked again and again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.container.command_line import Engine

SECONDS = 30.0
NAMES = ("podman", "docker")
_VERSION = {
    "podman": ("info", "--format", "{{.Version.Version}} {{.Host.Security.Rootless}}"),
    "docker": ("version", "--format", "{{.Server.Version}} false"),
}


class NoAnswer(Transient):
    """The engine cannot be asked now; that says nothing about the container."""


class Said(Struct, frozen=True):
    """How a command of the engine ended."""

    code: int
    out: bytes
    err: str


class ContainerState(Struct, rename="pascal"):
    """`State` of a container, as both engines print it."""

    status: str
    exit_code: int = 0
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")

    @property
    def running(self) -> bool:
        return self.status in ("running", "paused", "stopping", "removing")

    @property
    def begun(self) -> bool:
        """Whether its program was ever started."""
        return self.status not in ("created", "configured", "initialized")


class Engines:
    """Finds the engine: `wanted`, or podman, or else docker. An engine that was found is kept."""

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._found: Engine | None = None

    async def found(self) -> Engine:
        """The engine. Raises Terminal, with what to install or start."""
        if self._found is None:
            self._found = await self._search()
        return self._found

    async def again(self) -> Engine:
        """Looks anew."""
        self._found = None
        return await self.found()

    async def _search(self) -> Engine:
        complaints: list[str] = []
        for name in [self._wanted] if self._wanted else NAMES:
            match await _ask(name):
                case Engine() as engine:
                    return engine
                case complaint:
                    complaints.append(complaint)
        raise Terminal(
            f"no container engine: {'; '.join(complaints)}. Install podman or start docker on the machine that "
            "KubeChain runs on; it looks again within a minute",
            reason="NoContainerEngine",
        )


async def _ask(name: str) -> Engine | str:
    """The engine of that name, or why it cannot be used."""
    program = shutil.which(name)
    if program is None:
        return f"{name} is not on the PATH of KubeChain"
    try:
        said = await say([program, *_VERSION[name]])
    except NoAnswer as error:
        return str(error)
    version, _, rootless = said.out.decode("utf-8", "replace").strip().partition(" ")
    if said.code or not version:
        return f"{name} does not work ({last_line(said.err)})"
    return Engine(name, program, version, rootless == "true")


async def say(argv: Sequence[str], seconds: float | None = SECONDS) -> Said:
    """Runs a command of the engine to its end. Raises NoAnswer if it takes too long or cannot be started."""
    process = await launch(argv)
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        raise NoAnswer(f"`{' '.join(argv[:3])}` did not end within {seconds:g} s") from None
    finally:
        await end(process)
    return Said(process.returncode or 0, out, err.decode("utf-8", "replace"))


async def launch(argv: Sequence[str]) -> asyncio.subprocess.Process:
    """Starts a command of the engine that only asks. Raises NoAnswer."""
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise NoAnswer(f"{argv[0]} could not be started: {error.strerror}") from error


async def end(process: asyncio.subprocess.Process) -> None:
    """Kills a command of the engine that only asks, if it still runs."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def state_of(engine: Engine, name: str) -> ContainerState | None:
    """The state of a container; None where there is none. Raises NoAnswer."""
    said = await say([engine.program, "container", "inspect", "--format", "{{json .State}}", name])
    if said.code:
        if "no such" in said.err.lower():
            return None
        raise NoAnswer(f"{engine.name} does not answer: {last_line(said.err)}")
    return msgspec.json.decode(said.out, type=ContainerState)


async def has_image(engine: Engine, image: str) -> bool:
    """Whether the image is on this machine. Raises NoAnswer."""
    said = await say([engine.program, "image", "inspect", "--format", "{{.Id}}", image])
    return said.code == 0


async def remove(engine: Engine, name: str) -> bool:
    """Kills and removes a container. False if it may still be there. Raises NoAnswer."""
    await say([engine.program, "kill", name])
    said = await say([engine.program, "rm", "--force", "--volumes", name])
    return said.code == 0 or "no such" in said.err.lower() or "no container" in said.err.lower()


async def pull(engine: Engine, image: str, seconds: float) -> str:
    """Pulls an image; "" or why that failed. Raises NoAnswer."""
    said = await say([engine.program, "pull", "--quiet", image], seconds)
    return said.err.strip() or "the engine did not say why" if said.code else ""


def last_line(text: str) -> str:
    """The last line that is not blank, without the engine's `Error: `."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it said nothing"
