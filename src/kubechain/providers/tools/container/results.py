"""From how a container ended and what it left behind to the outcome of the call.

`local` and `jobs` call it. Pure.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence

from msgspec import Struct

from kubechain.agents.call.outcome import Artifact, Done
from kubechain.agents.ports.tool import ToolError
from kubechain.providers.tools.container.sentences import Ended, failure
from kubechain.providers.tools.result import limited


class Left(Struct, frozen=True):
    """What a container left in /kubechain: a result, files to keep, and the names of those that are too big."""

    result: bytes | None = None
    files: Sequence[tuple[str, bytes]] = ()
    dropped: Sequence[str] = ()


def outcome(ended: Ended, left: Left, memory: str) -> Done:
    """The result of a container that exited with code 0. Raises ToolError for any other."""
    if ended.code:
        raise ToolError(failure(ended, memory))
    text = limited((ended.output if left.result is None else left.result).decode("utf-8", "replace").strip("\n"))
    if left.dropped:
        text = f"{text}\n[not kept, because files may have 4 MiB together: {', '.join(left.dropped)}]"
    return Done(text, tuple(Artifact(content, _type(name), name) for name, content in left.files))


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
