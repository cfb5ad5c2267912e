"""The files in what a tool returned: images, audio and embedded resources that are not text. Pure.

`results` calls it. What cannot be decoded is not a file, and stays a line of the text.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Iterator

from kubechain.agents.call.outcome import Artifact
from kubechain.resources.json import JsonObject, JsonValue

_LONGEST_NAME = 100
_UNKNOWN = "application/octet-stream"


def files_of(content: JsonValue) -> tuple[Artifact, ...]:
    """In the order of the blocks, each with a name of its own."""
    found: list[Artifact] = []
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, dict) and (file := _file(block, len(found) + 1)) is not None:
            found.append(file)
    return tuple(_distinct(found))


def _file(block: JsonObject, number: int) -> Artifact | None:
    match block.get("type"):
        case "image" | "audio" as kind:
            media = _media(block)
            return _decoded(block.get("data"), media, f"{kind}-{number}{mimetypes.guess_extension(media) or ''}")
        case "resource" if isinstance(resource := block.get("resource"), dict):
            return _decoded(resource.get("blob"), _media(resource), _name(resource.get("uri")) or f"file-{number}")
        case _:
            return None


def _decoded(data: JsonValue, media: str, name: str) -> Artifact | None:
    if not isinstance(data, str) or not data:
        return None
    try:
        return Artifact(base64.b64decode(data, validate=True), media, name)
    except (binascii.Error, ValueError):
        return None


def _media(block: JsonObject) -> str:
    media = block.get("mimeType")
    return media if isinstance(media, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+", media, re.ASCII) else _UNKNOWN


def _name(uri: JsonValue) -> str:
    """The last part of an address, made fit to be the name of a file."""
    last = re.split(r"[/:]", uri.partition("?")[0].rstrip("/"))[-1] if isinstance(uri, str) else ""
    return re.sub(r"[^\w.-]", "-", last, flags=re.ASCII).strip(".-")[:_LONGEST_NAME]


def _distinct(files: list[Artifact]) -> Iterator[Artifact]:
    taken: set[str] = set()
    for number, file in enumerate(files, 1):
        name = file.name if file.name not in taken else f"{number}-{file.name}"
        taken.add(name)
        yield Artifact(file.content, file.media_type, name)
