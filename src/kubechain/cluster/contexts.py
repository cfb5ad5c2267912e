"""Reads kubeconfig files, and finds the cluster and the user of a context.

Used by `cluster/kubeconfig.py` and `cli/kubeconfig.py`. Several files are merged, as kubectl does: of two entries
with the same name the first counts, and paths are relative to their file. Only reads files. It loads a YAML
library only if a file needs one, so that commands start fast.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubechain.cluster import blocks
from kubechain.errors import SettingsError
from kubechain.resources.json import JsonObject, JsonValue


@dataclass(frozen=True)
class Entry:
    """A cluster, a user or a context, and its file."""

    path: Path
    content: JsonObject = field(repr=False)

    def text(self, name: str) -> str:
        """A member as text, "" where it is absent."""
        value = self.content.get(name)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None or isinstance(value, dict | list) else str(value)

    def pem(self, name: str, what: str) -> str:
        """PEM from the file, in base64, or from another file that it names. Raises SettingsError."""
        try:
            if data := self.text(f"{name}-data"):
                return base64.b64decode(data, validate=False).decode()
            file = self.text(name)
            return (self.path.parent / file).read_text() if file else ""
        except (OSError, ValueError, binascii.Error) as error:
            raise SettingsError(f"kubeconfig {self.path}: {what} cannot be read: {error}") from None


@dataclass(frozen=True)
class Chosen:
    """What a context names."""

    context: Entry = field(repr=False)
    cluster: Entry = field(repr=False)
    user: Entry = field(repr=False)


def chosen(paths: Sequence[Path], context: str = "") -> Chosen:
    """The context of a name, "" for the current one. Raises SettingsError."""
    files = [Entry(path, _read(path)) for path in paths if path.exists()]
    if not files:
        raise SettingsError(f"there is no kubeconfig at {', '.join(map(str, paths))}: name one with --kubeconfig")
    wanted = context or next((current for file in files if (current := file.text("current-context"))), "")
    if not wanted:
        raise SettingsError(f"kubeconfig {files[0].path} has no current context: choose one with --context")
    found = _found(files, "context", wanted)
    cluster = _found(files, "cluster", found.text("cluster"))
    if not cluster.text("server"):
        raise SettingsError(f"kubeconfig {cluster.path}: cluster {found.text('cluster')!r} names no server")
    user = _found(files, "user", found.text("user")) if found.text("user") else Entry(files[0].path, {})
    return Chosen(found, cluster, user)


def parse(document: str) -> JsonObject:
    """The content of a kubeconfig, JSON or YAML, without empty members. Raises ValueError."""
    config: JsonValue = json.loads(document) if document.lstrip().startswith("{") else blocks.parse(document)
    if config is None:
        from kubechain.resources import yamltext  # costs half as much as the rest: only where the file needs it

        config = yamltext.texts(document)
    config = _told(config)
    if not isinstance(config, dict | None):
        raise ValueError("it contains no mapping")
    return config or {}


def _read(path: Path) -> JsonObject:
    try:
        return parse(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"kubeconfig {path} cannot be read: {error}") from None


def _told(node: JsonValue) -> JsonValue:
    """Removes members without a value (`env: null`)."""
    if isinstance(node, dict):
        return {key: _told(value) for key, value in node.items() if value not in (None, "", "~", "null")}
    return [_told(item) for item in node] if isinstance(node, list) else node


def _found(files: Sequence[Entry], what: str, name: str) -> Entry:
    for file in files:
        listed = file.content.get(f"{what}s")
        for named in listed if isinstance(listed, list) else []:
            content = named.get(what) if isinstance(named, dict) and str(named.get("name")) == name else None
            if isinstance(content, dict):
                return Entry(file.path, content)
    places = ", ".join(str(file.path) for file in files)
    raise SettingsError(
        f"kubeconfig {places} has no {what} named {name!r}: `kubectl config view` shows what it has"
    )
