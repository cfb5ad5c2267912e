"""The worker of ToolCalls: its controller, which calls this replica works on, and which changes wake a call.

Changes of its run, and of everything that its tool uses, wake a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubechain.agents.ports.tool import Provider
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.builtin import BuiltinRunner
from kubechain.controllers.calls.executions import shard_of
from kubechain.controllers.calls.results import Results
from kubechain.controllers.calls.toolcall import ToolCallController
from kubechain.controllers.calls.tools import Tools
from kubechain.controllers.parts import Parts
from kubechain.resources.builtin import Secret
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.replicas.share import Sharded
from kubechain.runtime.wakes import Wake
from kubechain.runtime.worker import Worker


def calls_worker(parts: Parts) -> Worker[ToolCall]:
    """Not running yet."""
    p, at_work, results = parts, parts.executions, Results(parts.api)
    tools = Tools(p.caches, (*p.tools, BuiltinRunner(results)))
    return Worker(
        ToolCallController(p, tools, results),
        p.caches.calls,
        (Wake(at_work, lambda old, new: [key_of(new)] if new is not None else []), *wakes(p.caches)),
        events=p.events,
        at_rest=lambda call: call.status.finished,
        sharing=Sharded(p.share, shard_of, lambda call: call.status.holder, at_work.holds),
    )


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its run, and everything that its tool uses."""
    return (
        _calls_of_run(caches),
        _calls_of(caches.tools, "Tool", caches),
        _calls_of(caches.servers, "MCPServer", caches),
        _calls_of_secret(caches),
    )


def _calls_of_run(caches: Caches) -> Wake[TaskRun]:
    """A run that is created or deleted wakes its unfinished calls."""

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

    def keys(old: Provider | None, new: Provider | None) -> Iterable[Key]:
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
