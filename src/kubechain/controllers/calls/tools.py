"""What a call needs (the tool behind it, who runs it, its run), and which changes wake the call.

Reads informers, starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from kubechain.agents.builtin.read_result import INLINE
from kubechain.agents.call.outcome import Done
from kubechain.agents.call.redaction import hidden_values
from kubechain.agents.call.scene import ToolState
from kubechain.agents.ports.tool import Environment, Provider, ToolRunner, schema_of, secret_names
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.lines import Lines
from kubechain.controllers.secrets import Missing, provider_values
from kubechain.resources import tool as resources
from kubechain.resources.builtin import ConfigMap, Secret
from kubechain.resources.kind import controller_of
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.wakes import Source, Wake, owned

LONGEST = 257 * 1024
"""Bytes of a result that are kept where nothing is stated: 256 KiB, and a line that says where it was cut."""


class Tool(Struct, frozen=True):
    """A tool: its provider (None: KubeChain itself), its runner, and its state."""

    provider: Provider | None
    runner: ToolRunner
    state: ToolState

    def hidden(self, env: Environment) -> Sequence[str]:
        """The values that must not be shown of what the tool says."""
        names = secret_names(self.provider)
        return hidden_values(env, names) if names else ()

    @property
    def limited(self) -> bool:
        """Whether its calls may have to wait for each other."""
        spec = self.provider.spec if isinstance(self.provider, resources.Tool) else None
        return spec is not None and (spec.max_concurrent is not None or spec.parallel is False)


class Tools(Struct, frozen=True):
    """`runners`: one per kind; of two that serve the same provider the first is asked."""

    caches: Caches
    runners: Sequence[ToolRunner]

    def of(self, call: ToolCall) -> Tool | None:
        """The tool of a call; None where there is none, or not yet."""
        origin = call.spec.origin
        if origin is None:
            return None
        provider = self._provider(call)
        if provider is None and origin.kind != "Builtin":
            return None
        runner = next((r for r in self.runners if r.serves(provider)), None)
        if runner is None:
            return None
        nature = runner.nature(provider, origin.tool)
        if provider is None:
            return Tool(None, runner, ToolState(nature, looks=runner.looks))
        status = provider.status
        state = ToolState(
            nature,
            status.ready,
            status.status_detail,
            runner.looks,
            schema_of(provider, origin.tool),
            provider.spec.retries if isinstance(provider, resources.Tool) else None,
        )
        return Tool(provider, runner, state)

    def result_limit(self, call: ToolCall) -> int:
        """Bytes of a result that are kept."""
        provider = self._provider(call)
        limit = provider.spec.result_limit if isinstance(provider, resources.Tool) else None
        return int(limit.removesuffix("Ki")) * 1024 if limit else LONGEST

    def is_large(self, done: Done, limit: int) -> bool:
        """Whether a result has files, or is too long for a ToolCall or for `limit` bytes."""
        return bool(done.artifacts) or len(done.text) > min(limit // 4, INLINE)

    def run_of(self, call: ToolCall) -> TaskRun | None:
        """The run of the call. None if it was deleted, even if a new one has the same name."""
        run = self.caches.runs.get(Key(call.metadata.namespace, call.spec.task_run))
        owner = controller_of(call)
        return None if run is None or (owner is not None and owner.uid != run.metadata.uid) else run

    async def environment(self, tool: Tool) -> Environment | Missing:
        """The variables of the tool process, including secrets. They are read before anything is started."""
        provider = tool.provider
        if provider is None:
            return {}
        return await provider_values(provider, self.caches)

    def _provider(self, call: ToolCall) -> Provider | None:
        origin = call.spec.origin
        if origin is None or origin.kind == "Builtin":
            return None
        key = Key(call.metadata.namespace, origin.name)
        if origin.kind == "Agent":
            return self.caches.agents.get(key)
        return self.caches.tools.get(key) if origin.kind == "Tool" else self.caches.servers.get(key)


def at_rest(call: ToolCall) -> bool:
    """Nothing wakes a finished call."""
    return call.status.finished


def wakes(caches: Caches, at_work: Source[ToolCall], lines: Lines) -> tuple[Wake[Any], ...]:
    """The tool at work for it, its run, the calls that it waits for, and everything that its tool uses."""
    return (
        Wake(caches.calls, lambda old, new: lines.changed(old, new) if lines.waiting else ()),
        Wake(at_work, lambda old, new: [key_of(new)] if new is not None else []),
        _calls_of_run(caches),
        _calls_of(caches.tools, "Tool", caches),
        _calls_of(caches.servers, "MCPServer", caches),
        _calls_of(caches.agents, "Agent", caches),
        _calls_of_child(caches),
        _calls_of_secret(caches),
        _calls_of_config_map(caches),
    )


def _calls_of_run(caches: Caches) -> Wake[TaskRun]:
    """A run that is created, deleted or has failed wakes its unfinished calls."""

    def keys(old: TaskRun | None, new: TaskRun | None) -> Iterable[Key]:
        changed = new or old
        if changed is None or (old is not None and new is not None and not _ended(old, new)):
            return ()
        return caches.calls.keys_by("run", str(key_of(changed)))

    return Wake(caches.runs, keys)


def _calls_of_child(caches: Caches) -> Wake[TaskRun]:
    """The run of a sub-agent that is finished or deleted wakes the call that it answers."""
    owners = owned(caches.runs, caches.calls)

    def keys(old: TaskRun | None, new: TaskRun | None) -> Iterable[Key]:
        over = new is None or new.status.finished or new.metadata.deletion_timestamp is not None
        return owners.keys(old, new) if over else ()

    return Wake(caches.runs, keys)


def _ended(old: TaskRun, new: TaskRun) -> bool:
    """Whether it was replaced, is being deleted, or has failed since."""
    was, is_ = old.metadata, new.metadata
    failed = new.status.phase == "Failed" and old.status.phase != "Failed"
    return failed or was.uid != is_.uid or was.deletion_timestamp != is_.deletion_timestamp


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


def _calls_of_config_map(caches: Caches) -> Wake[ConfigMap]:
    """A call waits for the ConfigMap of its tool."""

    def keys(old: ConfigMap | None, new: ConfigMap | None) -> Iterable[Key]:
        changed = new or old
        for tool in caches.tools.keys_by("config_map", str(key_of(changed))) if changed is not None else ():
            yield from caches.calls.keys_by("origin", f"Tool/{tool}")

    return Wake(caches.config_maps, keys)
