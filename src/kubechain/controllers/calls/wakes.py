"""Which changes wake a ToolCall: those of its run, and of all that its tool is called with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubechain.controllers.caches import Caches
from kubechain.resources.builtin import Secret
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.tool import Tool
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.wakes import Wake


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its run, and all that its tool is called with."""
    return (
        _calls_of_run(caches),
        _calls_of(caches.tools, "Tool", caches),
        _calls_of(caches.servers, "MCPServer", caches),
        _calls_of_secret(caches),
    )


def _calls_of_run(caches: Caches) -> Wake[TaskRun]:
    """A run that appears, is being deleted or is gone wakes its unfinished calls."""

    def keys(old: TaskRun | None, new: TaskRun | None) -> Iterable[Key]:
        changed = new or old
        if changed is None or (old is not None and new is not None and not _replaced_or_ending(old, new)):
            return ()
        return caches.calls.keys_by("run", str(key_of(changed)))

    return Wake(caches.runs, keys)


def _replaced_or_ending(old: TaskRun, new: TaskRun) -> bool:
    was, is_ = old.metadata, new.metadata
    return was.uid != is_.uid or was.deletion_timestamp != is_.deletion_timestamp


def _calls_of(informer: Any, kind: str, caches: Caches) -> Wake[Any]:
    """A Tool or MCPServer wakes the unfinished calls of its tools."""

    def keys(old: Tool | MCPServer | None, new: Tool | MCPServer | None) -> Iterable[Key]:
        changed = new or old
        return caches.calls.keys_by("origin", f"{kind}/{key_of(changed)}") if changed else ()

    return Wake(informer, keys)


def _calls_of_secret(caches: Caches) -> Wake[Secret]:
    """A call reads the variables of its tool itself."""

    def keys(old: Secret | None, new: Secret | None) -> Iterable[Key]:
        changed = new or old
        if changed is None:
            return
        for kind, providers in (("Tool", caches.tools), ("MCPServer", caches.servers)):
            for provider in providers.keys_by("secret", str(key_of(changed))):
                yield from caches.calls.keys_by("origin", f"{kind}/{provider}")

    return Wake(caches.secrets, keys)
