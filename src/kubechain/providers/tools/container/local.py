"""`LocalContainers`: containers of podman or docker on the machine that KubeChain runs on.

`table` has it for `kubechain up`. A container outlives the program: its name is computed from its ToolCall, and a
restart goes on with it. It ends with its call: cancelled, timed out or deleted. It is removed when its outcome is
saved.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
)
from kubechain.errors import Terminal, Transient
from kubechain.logs import Logger
from kubechain.providers.tools.container import command_line, engine, watching, work
from kubechain.providers.tools.container.command_line import Engine, Started
from kubechain.providers.tools.container.engine import Engines, NoAnswer
from kubechain.providers.tools.container.folder import CallFolder
from kubechain.providers.tools.container.results import outcome
from kubechain.providers.tools.container.sentences import Ended, too_slow
from kubechain.providers.tools.container.spawning import spawn
from kubechain.providers.tools.container.watching import NotStarted
from kubechain.providers.tools.environment import secrets
from kubechain.providers.tools.output import Output
from kubechain.resources.toolcall import ExternalWork
from kubechain.runtime.clock import now

PULL_SECONDS = 600.0
PATIENCE = 20.0
"""Seconds: how long a pass waits for an image, and when an engine that does not answer is asked again."""
CLOSE_SECONDS = 10.0
STARTING_SECONDS = 30.0
"""How long a command of an earlier life of the program may take to start a container."""
_TAKEN = ("already in use", "id file")
"""What engines say where another command starts the same container."""
log = Logger(__name__)


class LocalContainers(ToolRunner):
    """`folder` has one folder for each container."""

    kind = "container"

    def __init__(self, engines: Engines, folder: Path) -> None:
        self._engines = engines
        self._folder = folder
        self._watched: dict[str, asyncio.Task[Ended]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._ended: Callable[[str], None] = lambda uid: None
        self._pulls: dict[str, asyncio.Task[str]] = {}

    def serves(self, provider: Provider | None) -> bool:
        return work.serves(provider)

    def on_end(self, told: Callable[[str], None]) -> None:
        self._ended = told

    async def describe(self, provider: Provider, env: Environment) -> Described:
        tool = work.container_of(provider)
        command_line.inherited(env)
        found = await self._engines.again()
        if not await engine.has_image(found, tool.image):
            await self._pull(found, tool.image)
        description = Description(provider.metadata.name, "", Raw(b'{"type":"object"}'))
        return Described([description], "ImageFound", f"Image {tool.image} is ready, run by {found.words}")

    def foresee(self, run: ToolRun) -> Parked:
        return _parked(run, work.work_name(run))

    async def start(self, run: ToolRun) -> Parked:
        name = work.work_name(run)
        found = await self._engines.found()
        try:
            await self._begin(run, found, name)
        except asyncio.CancelledError:
            self._clear(name)
            raise
        return _parked(run, name)

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        try:
            found = await self._engines.found()
            task = self._watched.get(handle.id) or await self._resume(run, found, handle.id)
            if task is None:
                return _parked(run, handle.id, wait=1.0)
            if task.done():
                return await self._outcome(run, found, handle.id, task)
        except (NoAnswer, Terminal) as error:
            if now() < work.deadline(run, now()):
                return _parked(run, handle.id, trouble=str(error))
        else:
            if now() < work.deadline(run, now()):
                return _parked(run, handle.id)
        self._clear(handle.id)
        raise Transient(too_slow(run.timeout), reason="Timeout")

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:
        self._clear(handle.id)

    def release(self, run: ToolRun, handle: ExternalWork) -> None:
        self._clear(handle.id)

    async def sweep(self, unfinished: Callable[[], Awaitable[Collection[str]]]) -> None:
        """Removes the containers of calls that are gone or finished. `unfinished`: the uids of all others."""
        names = [path.name for path in self._folder.glob(f"{work.PREFIX}*")] if self._folder.is_dir() else []
        if names:
            known = await unfinished()
            for name in names:
                if work.uid_in(name) not in known:
                    self._clear(name)

    async def close(self) -> None:
        """Leaves the containers that run: they are found again."""
        waiting = {*self._watched.values(), *self._pulls.values()}
        for task in waiting:
            task.cancel()
        if left := waiting | self._errands:
            await asyncio.wait(left, timeout=CLOSE_SECONDS)

    async def _begin(self, run: ToolRun, found: Engine, name: str) -> asyncio.Task[Ended]:
        """Starts the container, and watches it."""
        tool, folder = work.container_of(run.provider), CallFolder(self._folder / name)
        passed, written = command_line.inherited(run.env)
        await asyncio.to_thread(folder.prepare, run.arguments, written)
        user = command_line.user_of(os.geteuid(), os.getegid())
        started = Started(
            name, work.labels(run), user, folder.mounted, folder.environment, folder.id, folder.log, run.timeout
        )
        command = command_line.run(found, tool, started, passed)
        running = await spawn(command, passed, folder.arguments)
        task = self._watch(run, name, watching.attended(found, name, running, _printed(run, name)))
        task.add_done_callback(lambda _: running.leave())
        return task

    async def _resume(self, run: ToolRun, found: Engine, name: str) -> asyncio.Task[Ended] | None:
        """Goes on with a container of an earlier life of the program. None: wait, it is still being started.

        One that was never made is started now; of one that was made it is not known whether its program began.
        """
        state, folder = await engine.state_of(found, name), CallFolder(self._folder / name)
        if state is not None and state.begun:
            task = self._watch(run, name, watching.awaited(found, name, _printed(run, name)))
            if not state.running:
                await asyncio.wait([task])
            return task
        if folder.claimed() and now() < work.started(run, now()) + timedelta(seconds=STARTING_SECONDS):
            return None
        if state is not None:
            raise Transient(f"the start of the container {name} was interrupted", reason="Interrupted")
        if folder.made():
            raise Transient(f"the container {name} was removed by someone else", reason="Interrupted")
        folder.remove()
        return await self._begin(run, found, name)

    def _watch(self, run: ToolRun, name: str, waiting: Coroutine[Any, Any, Ended]) -> asyncio.Task[Ended]:
        task = self._watched[name] = asyncio.create_task(waiting)
        uid = run.call.metadata.uid
        task.add_done_callback(lambda done: None if done.cancelled() else self._ended(uid))
        return task

    async def _outcome(self, run: ToolRun, found: Engine, name: str, task: asyncio.Task[Ended]) -> Done | Parked:
        tool = work.container_of(run.provider)
        try:
            ended = await task
        except NotStarted as error:
            self._watched.pop(name, None)
            if any(words in str(error).lower() for words in _TAKEN):
                return _parked(run, name, wait=1.0)  # an earlier life of the program was about to start it
            raise ToolError(await _refusal(found, tool.image, error)) from None
        except Transient:
            self._watched.pop(name, None)
            raise
        folder = CallFolder(self._folder / name)
        stdout, stderr = await asyncio.to_thread(folder.printed)
        if len(stdout) > len(ended.output):
            ended = replace(ended, output=stdout)
        if not ended.words:
            ended = replace(ended, words=stderr.decode("utf-8", "replace"))
        return outcome(ended, await asyncio.to_thread(folder.left), tool.memory)

    def _clear(self, name: str) -> None:
        """Ends and removes the container, beside whatever else is done."""
        if (task := self._watched.pop(name, None)) is not None:
            task.cancel()
        errand = asyncio.create_task(self._remove(name))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _remove(self, name: str) -> None:
        try:
            if await engine.remove(await self._engines.found(), name):
                await asyncio.to_thread(CallFolder(self._folder / name).remove)
        except (Transient, Terminal) as error:
            log.warning(
                "a container may be left; it is removed at the next start", container=name, error=str(error)
            )

    async def _pull(self, found: Engine, image: str) -> None:
        """Pulls the image, beside whatever else is done. Raises Transient while it does, Terminal if it failed."""
        if (task := self._pulls.get(image)) is None:
            task = self._pulls[image] = asyncio.create_task(engine.pull(found, image, PULL_SECONDS))
        await asyncio.wait([task], timeout=PATIENCE)
        if not task.done():
            raise Transient(f"{found.name} is pulling image {image}", reason="Pulling")
        del self._pulls[image]
        if complaint := task.result():
            raise Terminal(_missing(found, image, complaint), reason="ImageNotFound")


def _parked(run: ToolRun, name: str, *, trouble: str = "", wait: float | None = None) -> Parked:
    """`trouble`: why the engine cannot be asked. `wait`: seconds until the next look; None: until its deadline."""
    until = work.deadline(run, now())
    if trouble or wait is not None:
        until = min(until, now() + timedelta(seconds=wait or PATIENCE))
    words = f"container {name}" + (f": {trouble}" if trouble else "")
    return Parked(ExternalWork(id=name), until, words)


def _printed(run: ToolRun, name: str) -> Output:
    return Output(name, secrets(run.env), tool=run.call.spec.tool, task_run=run.call.spec.task_run)


async def _refusal(found: Engine, image: str, error: NotStarted) -> str:
    if not await engine.has_image(found, image):
        return _missing(found, image, "it is not on this machine")
    return f"{found.name} could not start the container: {engine.last_line(str(error))}"


def _missing(found: Engine, image: str, why: str) -> str:
    return (
        f"image {image} is missing: {engine.last_line(why)}. Correct its name, or build it here with "
        f"`{found.name} build --tag {image} .`, or pull it with `{found.name} pull {image}`"
    )
