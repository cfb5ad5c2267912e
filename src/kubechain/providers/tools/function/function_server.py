"""What runs in a tool process of functions: `python -I -u -m kubechain.providers.tools.function.function_server`.

`function_process` starts it with a socket as its stdin and the folders to import from, and exchanges the frames of
frames.py with it. Functions find /dev/null as their stdin. They run at the same time: plain ones in threads, async
ones on an event loop. What they print goes over the socket too, by call. Output that belongs to no call goes to
stdout and stderr, which nobody parses. The process exits when the socket closes. It sees no environment variables
except PATH, HOME, LANG and those that the manifest lists.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TextIO, cast

from kubechain.agents.call.redaction import redacted
from kubechain.providers.tools.environment import secrets
from kubechain.providers.tools.function.frames import (
    Cancel,
    Described,
    Failed,
    Inspect,
    Invoke,
    Printed,
    Reply,
    Returned,
    Unusable,
    frame,
    read_request,
)
from kubechain.providers.tools.function.printing import Attributed, Printer, printing
from kubechain.providers.tools.function.reading import one_reader
from kubechain.providers.tools.function.signature import Signature, UnfitArguments, UnfitFunction, signature
from kubechain.providers.tools.result import NotText, as_text, limited

Function = tuple[Callable[..., object], Signature]
THREADS = 64
"""Plain functions that run at the same time; further calls wait for a thread."""


class NoFunction(Exception):
    """The entrypoint leads to no function that can be a tool; `reason` as in frames.Unusable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Files:
    """When the files that users' functions import were last changed, as of their import.

    These are their own modules and the packages they use, wherever installed; not what this process has itself.
    """

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._own = set(self._files())
        self._loaded: dict[str, int] = {}

    def note(self) -> None:
        """Records files that were imported since the last call."""
        for file in self._files():
            if file not in self._loaded and file not in self._own:
                self._loaded[file] = self._changed(file)

    def stale(self) -> bool:
        """Whether any of these files has changed; also one that a function imported while it ran."""
        unseen = (file for file in self._files() if file not in self._loaded and file not in self._own)
        return any(self._changed(file) != then for file, then in self._loaded.items()) or any(
            self._changed(file) > self._began for file in unseen
        )

    def _files(self) -> Iterator[str]:
        for module in list(sys.modules.values()):
            if file := getattr(module, "__file__", None):
                yield file

    def _changed(self, file: str) -> int:
        try:
            return Path(file).stat().st_mtime_ns
        except OSError:
            return -1


def load(entrypoint: str) -> Function:
    """The function at `module:function` and its signature. Raises NoFunction."""
    module_name, _, name = entrypoint.partition(":")
    importlib.invalidate_caches()  # what was missing a moment ago may be there now
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


class FunctionServer:
    """Answers the requests that come over one socket.

    Each thread reads a request, lets another thread read the next one, and runs the function itself, so that no
    request is passed between threads. Coroutines run on the event loop of the main thread.
    """

    def __init__(self, connection: socket.socket, files: Files, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._files = files
        self._loop = loop
        self._reading = one_reader(connection)
        self._writing = threading.Lock()
        self._crew = threading.Lock()
        self._free = 0
        self._running = 0
        """Threads that wait to read, and threads that run something; under `_crew`."""
        self._waiting: deque[Inspect | Invoke] = deque()
        self._open: set[int] = set()
        self._cancelled: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._printers: dict[int, Printer] = {}
        self._environment = dict(os.environ)
        self._loaded: dict[str, Function] = {}

    def recruit(self) -> None:
        """Starts another thread."""
        threading.Thread(target=self._serve, name="function", daemon=True).start()

    def _serve(self) -> None:
        """What each thread does."""
        while True:
            with self._crew:
                self._free += 1
            with self._reading:
                request: Inspect | Invoke | None = self._next()
            while request is not None:
                self._answer(request)
                request = self._done()

    def _next(self) -> Inspect | Invoke:
        """Reads until there is something to run and a free thread for it, which is this one."""
        while True:
            request = read_request(self._connection)
            if request is None:
                # Not a return: that would wait for threads, and one of them may never end.
                os._exit(0)
            if isinstance(request, Cancel):
                self._cancel(request.id)
                continue
            self._open.add(request.id)
            with self._crew:
                if self._running == THREADS:
                    self._waiting.append(request)
                    continue
                self._running += 1
                self._free -= 1
                if not self._free:
                    self.recruit()
            return request

    def _done(self) -> Inspect | Invoke | None:
        """The request that has waited longest for a thread; None: this thread reads again."""
        with self._crew:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None

    def _cancel(self, number: int) -> None:
        """Stops a coroutine, or a call that has not started.

        A function that runs in a thread cannot be stopped.
        """
        with self._crew:
            waiting = next((request for request in self._waiting if request.id == number), None)
            if waiting is not None:
                self._waiting.remove(waiting)
        if waiting is not None:
            self._reply(Failed(number, "cancelled"))
        elif number in self._open:
            self._cancelled.add(number)
            self._loop.call_soon_threadsafe(self._stop, number)

    def _stop(self, number: int) -> None:
        if task := self._tasks.get(number):
            task.cancel()

    def _answer(self, request: Inspect | Invoke) -> None:
        reply: Reply | None
        number = request.id
        printer = self._printers[number] = Printer(lambda line: self._send(Printed(number, line)))
        try:
            with printing(printer):
                reply = self._describe(request) if isinstance(request, Inspect) else self._call(request)
        except NoFunction as error:
            reply = Unusable(request.id, error.reason, limited(str(error)), self._files.stale())
        if reply is not None:
            self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        self._open.discard(reply.id)
        self._cancelled.discard(reply.id)
        if printer := self._printers.pop(reply.id, None):
            printer.flush()
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        with self._writing:
            self._connection.sendall(frame(reply))

    def _describe(self, request: Inspect) -> Described:
        _, found = self._function(request.entrypoint)
        return Described(request.id, found.description, found.parameters, self._files.stale())

    def _call(self, request: Invoke) -> Reply | None:
        """The answer; None when it comes later, from the event loop."""
        function, found = self._function(request.entrypoint)
        try:
            positional, named = found.bind(request.arguments, request.idempotency_key)
            result = function(*positional, **named)
            if inspect.isawaitable(result):
                self._loop.call_soon_threadsafe(self._begin, request, result)
                return None
            return Returned(request.id, self._shown(request, result))
        except (UnfitArguments, NotText) as error:
            return Failed(request.id, limited(str(error)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever a user's function does
            return _raised(request.id, error)

    def _shown(self, request: Invoke, result: object) -> str:
        """The result as text, without secret values, and cut to the limit."""
        values = secrets({name: self._environment.get(name, "") for name in request.hidden})
        return limited(redacted(as_text(result), values))

    def _begin(self, request: Invoke, result: Awaitable[object]) -> None:
        """Starts waiting for a result on the event loop."""
        number = request.id
        task = self._tasks[number] = self._loop.create_task(self._await(request, result))
        task.add_done_callback(lambda _: self._tasks.pop(number, None))
        if number in self._cancelled:
            task.cancel()

    async def _await(self, request: Invoke, awaitable: Awaitable[object]) -> None:
        reply: Reply
        number = request.id
        try:
            reply = Returned(number, self._shown(request, await awaitable))
        except NotText as error:
            reply = Failed(number, limited(str(error)))
        except asyncio.CancelledError:
            reply = Failed(number, "cancelled")
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            reply = _raised(number, error)
        self._reply(reply)

    def _function(self, entrypoint: str) -> Function:
        found = self._loaded.get(entrypoint)
        if found is None:
            try:
                found = self._loaded[entrypoint] = load(entrypoint)
            finally:
                self._files.note()
        return found


def _raised(number: int, error: BaseException) -> Failed:
    traceback.print_exception(error)
    name, text = type(error).__name__, str(error)
    return Failed(number, limited(f"{name}: {text}" if text else f"raised {name}"))


async def serve(connection: socket.socket) -> None:
    """Answers until the other end is closed."""
    loop = asyncio.get_running_loop()
    FunctionServer(connection, Files(), loop).recruit()
    await loop.create_future()


def taken(descriptor: int) -> socket.socket:
    """The socket at this descriptor, where functions find /dev/null from now on."""
    connection = socket.socket(fileno=os.dup(descriptor))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), descriptor)
    return connection


def main() -> None:
    """`function_server FOLDER...`; the socket is its stdin."""
    connection, folders = taken(0), sys.argv[1:]
    sys.path[:0] = folders
    sys.stdout, sys.stderr = cast("TextIO", Attributed(sys.stdout)), cast("TextIO", Attributed(sys.stderr))
    asyncio.run(serve(connection))


if __name__ == "__main__":
    main()
