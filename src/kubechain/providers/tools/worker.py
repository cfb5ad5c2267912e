"""The process in which users' Python functions run: `python -I -u -m kubechain.providers.tools.worker`.

`worker_process` starts it with a socket, the program's process id and the folders to import from, and speaks
frames.py over that socket. Functions run at the same time: plain ones in threads, async ones on the event loop.
What they print goes to stdout and stderr, which nobody parses. It ends with its socket, and it never sees an
environment variable that the manifest did not give (beside PATH, HOME and LANG).
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import socket
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from kubechain.providers.tools.frames import (
    Call,
    Cancel,
    Described,
    Failed,
    Inspect,
    Reply,
    Returned,
    Unusable,
    frame,
    read_request,
)
from kubechain.providers.tools.result import NotText, as_text, limited
from kubechain.providers.tools.signature import Signature, UnfitArguments, UnfitFunction, signature
from kubechain.providers.tools.tether import tie

Result = TypeVar("Result")
Function = tuple[Callable[..., object], Signature]
THREADS = 64
"""Plain functions that run at the same time; further calls wait for a thread."""


class NoFunction(Exception):
    """The entrypoint leads to no function that can be a tool; `reason` as in frames.Unusable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Files:
    """When the users' source files were last changed, as of their import."""

    def __init__(self, folders: list[str]) -> None:
        self._folders = tuple(folder.rstrip("/") + "/" for folder in folders)
        self._loaded: dict[str, int] = {}

    def note(self) -> None:
        """Takes down files that were imported since last time."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file and file.startswith(self._folders) and file not in self._loaded:
                self._loaded[file] = self._changed(file)

    def stale(self) -> bool:
        """Whether any of them is another one now."""
        return any(self._changed(file) != then for file, then in self._loaded.items())

    def _changed(self, file: str) -> int:
        try:
            return Path(file).stat().st_mtime_ns
        except OSError:
            return -1


def load(entrypoint: str) -> Function:
    """The function at `module:function` and its signature. Raises NoFunction."""
    module_name, _, name = entrypoint.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a user's module does while it is imported
        traceback.print_exc()
        raise NoFunction("ImportFailed", f"module {module_name}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise NoFunction("NoSuchFunction", f"module {module_name} has no function {name}")
    try:
        return function, signature(function)
    except UnfitFunction as error:
        raise NoFunction("UnfitFunction", f"function {entrypoint} cannot be a tool: {error}") from error


class Worker:
    """Answers the requests that come over one socket."""

    def __init__(self, writer: asyncio.StreamWriter, files: Files) -> None:
        self._writer = writer
        self._files = files
        self._threads = ThreadPoolExecutor(THREADS)
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._loaded: dict[str, Function] = {}

    def take(self, request: Inspect | Call | Cancel) -> None:
        """Starts answering a request, or stops."""
        if isinstance(request, Cancel):
            if task := self._answering.get(request.id):
                task.cancel()
            return
        task = asyncio.create_task(self._answer(request))
        self._answering[request.id] = task
        task.add_done_callback(lambda _: self._answering.pop(request.id, None))

    async def _answer(self, request: Inspect | Call) -> None:
        try:
            match request:
                case Inspect():
                    reply: Reply = await self._describe(request)
                case Call():
                    reply = await self._call(request)
        except NoFunction as error:
            reply = Unusable(request.id, error.reason, limited(str(error)))
        # Written whole before the next one begins: nothing here awaits between two parts of a frame.
        self._writer.write(frame(reply))

    async def _describe(self, request: Inspect) -> Described:
        _, found = await self._function(request.entrypoint)
        return Described(request.id, found.description, found.parameters, self._files.stale())

    async def _call(self, request: Call) -> Returned | Failed:
        function, found = await self._function(request.entrypoint)
        try:
            positional, named = found.bind(request.arguments, request.idempotency_key)
            run = partial(function, *positional, **named)
            result = run() if inspect.iscoroutinefunction(function) else await self._in_thread(run)
            if inspect.isawaitable(result):
                result = await result
            return Returned(request.id, limited(as_text(result)))
        except (UnfitArguments, NotText) as error:
            return Failed(request.id, limited(str(error)))
        except asyncio.CancelledError:
            return Failed(request.id, "cancelled")
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever a user's function does
            traceback.print_exc()
            return Failed(request.id, limited(f"{type(error).__name__}: {error}"))

    async def _function(self, entrypoint: str) -> Function:
        """Imports in a thread: that may take long, and the others go on meanwhile."""
        if entrypoint not in self._loaded:
            self._loaded[entrypoint] = await self._in_thread(partial(load, entrypoint))
            self._files.note()
        return self._loaded[entrypoint]

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Runs work in a thread. A thread cannot be stopped: once it runs, cancelling waits for its end."""
        future = self._threads.submit(_without_stop_iteration, work)
        running = asyncio.wrap_future(future)
        while True:
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if future.cancel() or future.done():
                    raise


def _without_stop_iteration(work: Callable[[], Result]) -> Result:
    """An asyncio future takes any exception but this one."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("raised StopIteration") from error


async def serve(connection: socket.socket, folders: list[str]) -> None:
    """Answers until the other end is closed."""
    reader, writer = await asyncio.open_connection(sock=connection)
    worker = Worker(writer, Files(folders))
    while (request := await read_request(reader)) is not None:
        worker.take(request)
    # Not a return: that would wait for threads, and one of them may never end.
    os._exit(0)


def main() -> None:
    """`worker SOCKET PARENT FOLDER...`"""
    descriptor, parent, *folders = sys.argv[1:]
    tie(int(parent))
    os.set_inheritable(int(descriptor), False)
    sys.path[:0] = folders
    asyncio.run(serve(socket.socket(fileno=int(descriptor)), folders))


if __name__ == "__main__":
    main()
