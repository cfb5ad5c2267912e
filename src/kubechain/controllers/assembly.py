"""Which controllers there are, and which changes wake each of them. Called once, by `app`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider
from kubechain.agents.ports.tool import ToolRunner
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.builtin import BuiltinRunner
from kubechain.controllers.calls.executions import Executions, shard_of
from kubechain.controllers.calls.results import Results
from kubechain.controllers.calls.toolcall import ToolCallController
from kubechain.controllers.calls.tools import Tools
from kubechain.controllers.runs.taskrun import TaskRunController, no_line
from kubechain.controllers.runs.transcripts import Transcripts
from kubechain.controllers.setup.agent import AgentController
from kubechain.controllers.setup.llm import LLMController
from kubechain.controllers.setup.mcpserver import MCPServerController
from kubechain.controllers.setup.task import TaskController
from kubechain.controllers.setup.tool import ToolController
from kubechain.resources.agent import Agent
from kubechain.resources.builtin import Secret
from kubechain.resources.kind import R
from kubechain.resources.llm import LLM
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.model import Clock
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Controller
from kubechain.runtime.informer import Informer
from kubechain.runtime.ownership import key_of
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Led, Sharded, Share, alone
from kubechain.runtime.wakes import Wake, owned, referred
from kubechain.runtime.worker import Worker


class Outside(Struct, frozen=True):
    """Everyone the controllers talk to beyond the API. `base_urls` (by provider): see `endpoint_of`.

    `line`: what people are told of requests to an LLM that may wait for their turn.
    """

    models: ModelProvider
    tools: Sequence[ToolRunner]
    base_urls: Mapping[str, str]
    line: Callable[[Endpoint], str] = no_line


def workers(
    api: Api,
    caches: Caches,
    outside: Outside,
    executions: Executions,
    events: EventRecorder,
    clock: Clock,
    share: Share | None = None,
) -> tuple[Worker[Any], ...]:
    """One worker per kind, not running yet. `share`: what of the work is this replica's; by default all of it."""
    share = share or alone()
    c, o = caches, outside
    runs = TaskRunController(api, c, o.models, Transcripts(api), o.base_urls, events, clock, o.line)
    results = Results(api)
    found = Tools(c, (*o.tools, BuiltinRunner(results)))
    calls = ToolCallController(api, c, found, executions, results, events, clock, share)
    servers = MCPServerController(api, c, o.tools, executions, clock)
    agents_wake = (
        referred(c.llms, c.agents, "llm"),
        referred(c.tools, c.agents, "tool"),
        referred(c.servers, c.agents, "server"),
        _offered(c),
    )
    runs_wake = (
        _runs_of_calls(c),
        referred(c.tasks, c.runs, "task"),
        _runs_of_agent(c),
        _runs_of_llm(c),
        _runs_of_secret(c),
    )
    calls_wake = (
        Wake(executions, lambda old, new: [key_of(new)] if new is not None else []),
        _calls_of_run(c),
        _calls_of(c.tools, "Tool", c),
        _calls_of(c.servers, "MCPServer", c),
        _calls_of_secret(c),
    )

    def worker(controller: Controller[R], informer: Informer[R], *wakes: Wake[Any]) -> Worker[R]:
        return Worker(controller, informer, wakes, events=events, turns=Led(share))

    def finished(obj: TaskRun | ToolCall) -> bool:
        return obj.status.finished

    servers_worker = worker(servers, c.servers, referred(c.secrets, c.servers, "secret"))
    for runner in o.tools:
        runner.on_change(partial(_look_again, servers, servers_worker))
    runs_worker = Worker(
        runs, c.runs, runs_wake, events=events, at_rest=finished, turns=Sharded(share, _shard_of_run)
    )
    runs.outages.wake = runs_worker.wake
    made: tuple[Worker[Any], ...] = (
        worker(LLMController(api, c, o.models, o.base_urls, clock), c.llms, referred(c.secrets, c.llms, "secret")),
        worker(
            ToolController(api, c, o.tools, executions, clock), c.tools, referred(c.secrets, c.tools, "secret")
        ),
        servers_worker,
        worker(AgentController(api, c, clock), c.agents, *agents_wake),
        worker(TaskController(api, c, clock), c.tasks, referred(c.agents, c.tasks, "agent")),
        runs_worker,
        Worker(
            calls,
            c.calls,
            calls_wake,
            events=events,
            at_rest=finished,
            turns=Sharded(share, shard_of, lambda call: call.status.holder, executions.holds),
        ),
    )
    for one in made:
        share.on_change(one.look_again)
    return made


def _shard_of_run(run: TaskRun) -> str:
    return f"{run.metadata.namespace}/{run.metadata.name}"


def _look_again(controller: MCPServerController, worker: Worker[MCPServer], owner: str) -> None:
    """A server said that its tools changed: discover them anew."""
    namespace, _, name = owner.partition("/")
    key = Key(namespace, name)
    controller.seen.discard(key)
    worker.wake(key)


def _offered(caches: Caches) -> Wake[Tool]:
    """A tool that offers itself, or did, wakes every agent of its namespace."""

    def keys(old: Tool | None, new: Tool | None) -> Iterable[Key]:
        offering = [t for t in (old, new) if t is not None and t.spec.agent_selector is not None]
        return [a for t in offering[:1] for a in caches.agents.keys_by("namespace", t.metadata.namespace)]

    return Wake(caches.tools, keys)


def _runs_of_calls(caches: Caches) -> Wake[ToolCall]:
    """A child that is through, lost or gone wakes its run; one that is just there or at work does not."""
    owners = owned(caches.calls, caches.runs)

    def keys(old: ToolCall | None, new: ToolCall | None) -> Iterable[Key]:
        settled = new is None or new.status.finished or new.status.phase == "OutcomeUnknown"
        was = old is not None and old.status.phase == "OutcomeUnknown"
        return owners.keys(old, new) if settled or was else ()

    return Wake(caches.calls, keys)


def _runs_of_agent(caches: Caches) -> Wake[Agent]:
    def keys(old: Agent | None, new: Agent | None) -> Iterable[Key]:
        changed = new or old
        return _runs(caches, changed) if changed else ()

    return Wake(caches.agents, keys)


def _runs_of_llm(caches: Caches) -> Wake[LLM]:
    def keys(old: LLM | None, new: LLM | None) -> Iterable[Key]:
        changed = new or old
        return _runs_through(caches, changed) if changed else ()

    return Wake(caches.llms, keys)


def _runs_of_secret(caches: Caches) -> Wake[Secret]:
    """A run reads the key itself, and may look for it before its LLM has."""

    def keys(old: Secret | None, new: Secret | None) -> Iterable[Key]:
        changed = new or old
        llms = caches.llms.by("secret", str(key_of(changed))) if changed else []
        return [key for llm in llms for key in _runs_through(caches, llm)]

    return Wake(caches.secrets, keys)


def _runs_through(caches: Caches, llm: LLM) -> list[Key]:
    """The unfinished runs that think with an LLM."""
    agents = caches.agents.by("llm", str(key_of(llm)))
    return [key for agent in agents for key in _runs(caches, agent)]


def _runs(caches: Caches, agent: Agent) -> list[Key]:
    """The unfinished runs of an agent's tasks."""
    tasks = caches.tasks.keys_by("agent", str(key_of(agent)))
    return [run for task in tasks for run in caches.runs.keys_by("task", str(task))]


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
