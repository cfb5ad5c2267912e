"""What a run depends on, read from the caches at the start of each pass, and which changes wake the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from kubechain.agents.naming import sub_run_name
from kubechain.agents.run import transcript
from kubechain.agents.run.scene import Scene
from kubechain.agents.run.version import as_begun, is_current, spec_of
from kubechain.controllers.caches import Caches
from kubechain.controllers.setup.surroundings import surroundings
from kubechain.resources.agent import Agent
from kubechain.resources.builtin import Secret
from kubechain.resources.kind import controller_of
from kubechain.resources.llm import LLM
from kubechain.resources.taskrun import ROOT_LABEL, Parent, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.wakes import Wake, owned, referred


def observe(caches: Caches, run: TaskRun) -> Scene:
    """The scene from the caches, which may be slightly out of date."""
    namespace = run.metadata.namespace
    task = caches.tasks.get(Key(namespace, run.spec.task)) if run.spec.task else None
    asked = task.spec.agent if task else run.spec.agent
    agent = _agent(caches, run, asked) if asked else None
    llm = caches.llms.get(Key(namespace, agent.spec.llm_ref.name)) if agent else None
    found = (caches.calls.get(Key(namespace, name)) for name in transcript.names(run))
    calls_there = {call.metadata.name: call for call in found if call is not None}
    return Scene(run, task, agent, llm, calls_there, is_called(run), caller_of(caches, run))


def caller_of(caches: Caches, run: TaskRun) -> ToolCall | None:
    """The ToolCall that the run answers; None where there is none, or where it is not known or gone."""
    owner = controller_of(run)
    if owner is None or owner.kind != TOOL_CALLS.kind:
        return None
    call = caches.calls.get(Key(run.metadata.namespace, owner.name))
    return call if call is not None and call.metadata.uid == owner.uid else None


def is_called(run: TaskRun) -> bool:
    """Whether the run answers a ToolCall."""
    owner = controller_of(run)
    return owner is not None and owner.kind == TOOL_CALLS.kind


def placed(caches: Caches, run: TaskRun) -> TaskRun:
    """The run, its status saying where in its tree it is. The next write of the status saves that."""
    if run.status.parent is not None or not is_called(run):
        return run
    call = caller_of(caches, run)
    above = caches.runs.get(Key(run.metadata.namespace, call.spec.task_run)) if call else None
    if call is None or above is None:
        return run
    parent = Parent(task_run=above.metadata.name, tool_call=call.metadata.name)
    status = replace(run.status, parent=parent, root=above.root, depth=above.status.depth + 1)
    return replace(run, status=status)


def missing_calls(caches: Caches, run: TaskRun) -> bool:
    """Whether a ToolCall of the run is missing."""
    namespace = run.metadata.namespace
    return any(caches.calls.get(Key(namespace, name)) is None for name in transcript.names(run))


def _agent(caches: Caches, run: TaskRun, name: str) -> Agent | None:
    """The agent in the version that the run began with."""
    namespace, begun = run.metadata.namespace, run.status.version
    agent = caches.agents.get(Key(namespace, name))
    if agent is None or begun is None or is_current(run, agent):
        return agent
    return as_begun(begun, agent, surroundings(caches, namespace, spec_of(begun, agent)))


def at_rest(run: TaskRun) -> bool:
    """Nothing wakes a finished run."""
    return run.status.finished


def shard_of(run: TaskRun) -> str:
    """A tree of runs and their ToolCalls is worked on by one replica."""
    return f"{run.metadata.namespace}/{run.metadata.labels.get(ROOT_LABEL, run.metadata.name)}"


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its calls, and everything that its requests use."""
    return (
        _runs_of_calls(caches),
        _run_that_answers(caches),
        referred(caches.tasks, caches.runs, "task"),
        _runs_of_agent(caches),
        _runs_of_llm(caches),
        _runs_of_secret(caches),
    )


def _runs_of_calls(caches: Caches) -> Wake[ToolCall]:
    """A ToolCall that is finished, unknown or deleted wakes its run; one that is new or running does not."""
    owners = owned(caches.calls, caches.runs)

    def keys(old: ToolCall | None, new: ToolCall | None) -> Iterable[Key]:
        settled = new is None or new.status.finished or new.status.phase == "OutcomeUnknown"
        was = old is not None and old.status.phase == "OutcomeUnknown"
        return owners.keys(old, new) if settled or was else ()

    return Wake(caches.calls, keys)


def _run_that_answers(caches: Caches) -> Wake[ToolCall]:
    """A call of a sub-agent wakes the run that answers it when it appears, and when it is over."""

    def keys(old: ToolCall | None, new: ToolCall | None) -> Iterable[Key]:
        call = new or old
        if call is None or call.spec.origin is None or not call.spec.origin.agent:
            return ()
        if old is not None and new is not None and not new.status.finished:
            return ()
        return (Key(call.metadata.namespace, sub_run_name(call.spec.origin.agent, call.metadata.uid)),)

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
    """A run reads the key itself, perhaps before its LLM is ready."""

    def keys(old: Secret | None, new: Secret | None) -> Iterable[Key]:
        changed = new or old
        llms = caches.llms.by("secret", str(key_of(changed))) if changed else []
        return [key for llm in llms for key in _runs_through(caches, llm)]

    return Wake(caches.secrets, keys)


def _runs_through(caches: Caches, llm: LLM) -> list[Key]:
    """The unfinished runs that use an LLM."""
    name = str(key_of(llm))
    agents = caches.agents.by("llm", name)
    begun = caches.runs.keys_by("llm", name)
    return [*dict.fromkeys([*begun, *(key for agent in agents for key in _runs(caches, agent))])]


def _runs(caches: Caches, agent: Agent) -> list[Key]:
    """The unfinished runs of an agent: those of its tasks, and those that ask it something themselves."""
    tasks = caches.tasks.keys_by("agent", str(key_of(agent)))
    of_tasks = [run for task in tasks for run in caches.runs.keys_by("task", str(task))]
    return [*of_tasks, *caches.runs.keys_by("agent", str(key_of(agent)))]
