"""Files that a tool made: what the ToolCall says of them, the ToolResults with their bytes, what the model reads.

Pure. The model gets a line about each file; people get the bytes with `kubechain artifacts get HANDLE`.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Collection, Iterable, Sequence

from kubechain.agents.builtin.read_result import Part, part_name
from kubechain.agents.call.outcome import Artifact
from kubechain.agents.naming import result_name
from kubechain.resources.toolcall import StoredArtifact, ToolCall
from kubechain.resources.toolresult import ToolResultSpec

LARGEST = 8 * 1024 * 1024
"""Bytes of one file that are kept."""
MOST = 32
"""Files of one call that are kept."""
PART = 512 * 1024
"""Bytes in one ToolResult."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


def stored(call: ToolCall, artifacts: Sequence[Artifact]) -> tuple[list[StoredArtifact], list[Part]]:
    """What the status says of the files, and the ToolResults that have to exist. The same files give the same."""
    told: list[StoredArtifact] = []
    parts: list[Part] = []
    for number, artifact in enumerate(artifacts, 1):
        name = _name(artifact, number, [one.handle.partition("/")[2] for one in told])
        about = StoredArtifact(
            handle=f"{call.metadata.name}/{name}", media_type=artifact.media_type, size=len(artifact.content)
        )
        if number <= MOST and about.size <= LARGEST:
            about.stored = result_name(call.metadata.name, artifact.content)
            mine = list(_parts(call, about.stored, artifact.content))
            about.parts = len(mine)
            parts += mine
        told.append(about)
    return told, parts


def _parts(call: ToolCall, name: str, content: bytes) -> Iterable[Part]:
    for number, at in enumerate(range(0, max(len(content), 1), PART), 1):
        text = base64.b64encode(content[at : at + PART]).decode()
        spec = ToolResultSpec(tool_call=call.metadata.name, part=number, content=text, encoding="base64")
        yield part_name(name, number), spec


def _name(artifact: Artifact, number: int, taken: Collection[str]) -> str:
    """A name that fits on a command line and in a file system, different from those before it."""
    name = _UNSAFE.sub("_", artifact.name.rsplit("/", 1)[-1]).strip("._")[-_LONGEST_NAME:]
    if not name:
        name = f"file-{number}{mimetypes.guess_extension(artifact.media_type) or ''}"
    return name if name not in taken else f"{number}-{name}"


def line(artifact: StoredArtifact) -> str:
    """What the model reads about a file."""
    what = f"{artifact.media_type or 'unknown type'}, {artifact.size:,} bytes"
    kept = "" if artifact.stored else "; not kept, since it is too large"
    return f"[file {artifact.handle}: {what}{kept}]"
