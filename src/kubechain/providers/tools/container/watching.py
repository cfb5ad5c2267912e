"""Watches one container of this machine until it ends: by the command that runs it, after a restart by `wait`.

`local` calls it once for each container. Nothing is polled: the end of the command is the end of the container.
When the watching is cancelled, the container goes on.
"""

from __future__ import annotations

import asyncio

from kubechain.errors import Transient
from kubechain.providers.tools.container.command_line import Engine
from kubechain.providers.tools.container.engine import NoAnswer, end, last_line, launch, say, state_of
from kubechain.providers.tools.container.sentences import Ended
from kubechain.providers.tools.container.spawning import Command
from kubechain.providers.tools.output import Output
from kubechain.providers.tools.result import MAX_RESULT_BYTES

_READ_BYTES = 64 * 1024
_OWN_CODES = range(125, 128)
"""Exit codes of the engine's command when it could not start the container, or of a program that chose them."""


class NotStarted(Exception):
    """The engine did not start the program; the text is what the engine said."""


async def attended(engine: Engine, name: str, command: Command, printed: Output) -> Ended:
    """Waits for a container by the command that runs it. Raises NotStarted, Transient."""
    output = await _heard(command.stdout, command.stderr, printed)
    code = await command.ended()
    if 0 <= code < min(_OWN_CODES):
        return Ended(code, output, printed.tail)
    return await _examined(engine, name, code, output, printed)


async def awaited(engine: Engine, name: str, printed: Output) -> Ended:
    """Waits for a container that was started by an earlier life of the program. Raises Transient."""
    waited = await say([engine.program, "wait", name], None)
    if waited.code:
        raise NoAnswer(f"{engine.name} lost the container {name}: {last_line(waited.err)}")
    logs = await launch([engine.program, "logs", name])
    try:
        output = await _heard(
            logs.stdout or asyncio.StreamReader(), logs.stderr or asyncio.StreamReader(), printed
        )
        await logs.wait()
    finally:
        await end(logs)
    state = await state_of(engine, name)
    return Ended(int(waited.out.split()[-1]), output, printed.tail, state is not None and state.oom_killed)


async def _heard(stdout: asyncio.StreamReader, stderr: asyncio.StreamReader, printed: Output) -> bytes:
    """The beginning of what a command prints, once that has ended. Its stderr goes to `printed`."""
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_beginning(stdout))
        group.create_task(printed.pump(stderr))
    return output.result()


async def _examined(engine: Engine, name: str, code: int, output: bytes, printed: Output) -> Ended:
    """Tells a container that could not be started, or was killed, from a program that ended with such a code."""
    state = await state_of(engine, name)
    if code in _OWN_CODES and (state is None or not state.begun):
        raise NotStarted(printed.tail)
    if state is None:
        raise Transient(f"the container {name} was removed while it ran", reason="Interrupted")
    if code < 0 and state.running:  # the command was killed, not the container
        return await awaited(engine, name, printed)
    return Ended(code, output, printed.tail, state.oom_killed)


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """The first bytes of a stream, one more than a result may have; the rest is read and dropped."""
    kept = bytearray()
    while chunk := await stream.read(_READ_BYTES):
        if (room := MAX_RESULT_BYTES + 1 - len(kept)) > 0:
            kept += chunk[:room]
    return bytes(kept)
