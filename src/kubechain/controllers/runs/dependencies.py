"""What a run depends on, read from the caches at the start of each pass, and which changes wake the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubechain.agents.run import transcript
from kubechain.agents.run.scene import Scene
from kubechain.agents.run.version import as_begun, is_current, spec_of
from kubechain.controllers.caches import Caches
from kubechain.controllers.setup.surroundings import surroundings
from kubechain.resources.agent import Agent
from kubechain.resources.builtin import Secret
from kubechain.resources.llm import LLM
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.wakes import Wake, owned, referred


def observe(caches: Caches, run: TaskRun) -> Scene:
    """The scene from the caches, which may be slightly out of date."""
    namespace = run.metadata.namespace
    task = caches.tasks.get(Key(namespace, run.spec.task))
    agent = _agent(caches, run, task.spec.agent) if task else None
    llm = caches.llms.get(Key(namespace, agent.spec.llm_ref.name)) if agent else None
    found = (caches.calls.get(Key(namespace, name)) for name in transcript.names(run))
    return Scene(run, task, agent, llm, {call.metadata.name: call for call in found if call is not None})


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
    """A run and its ToolCalls are worked on by one replica."""
    return f"{run.metadata.namespace}/{run.metadata.name}"


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its calls, and everything that its requests use."""
    return (
        _runs_of_calls(caches),
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
    """The unfinished runs of an agent's tasks."""
    tasks = caches.tasks.keys_by("agent", str(key_of(agent)))
    return [run for task in tasks for run in caches.runs.keys_by("task", str(task))]
