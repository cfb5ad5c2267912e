"""What a run depends on, out of the caches. The TaskRun controller calls it at the start of each pass."""

from __future__ import annotations

from kubechain.agents.run import calls
from kubechain.agents.run.scene import Scene
from kubechain.agents.run.version import as_begun, is_current, spec_of
from kubechain.controllers.caches import Caches
from kubechain.controllers.setup.surroundings import surroundings
from kubechain.resources.agent import Agent
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.api import Key


def observe(caches: Caches, run: TaskRun) -> Scene:
    """The scene as it is held here, which may be a little behind."""
    namespace = run.metadata.namespace
    task = caches.tasks.get(Key(namespace, run.spec.task))
    agent = _agent(caches, run, task.spec.agent) if task else None
    llm = caches.llms.get(Key(namespace, agent.spec.llm_ref.name)) if agent else None
    found = (caches.calls.get(Key(namespace, name)) for name in calls.names(run))
    return Scene(run, task, agent, llm, {call.metadata.name: call for call in found if call is not None})


def missing_calls(caches: Caches, run: TaskRun) -> bool:
    """Whether a call that the run asks for is not there yet."""
    namespace = run.metadata.namespace
    return any(caches.calls.get(Key(namespace, name)) is None for name in calls.names(run))


def _agent(caches: Caches, run: TaskRun, name: str) -> Agent | None:
    """The agent in the version that the run began with."""
    namespace, begun = run.metadata.namespace, run.status.version
    agent = caches.agents.get(Key(namespace, name))
    if agent is None or begun is None or is_current(run, agent):
        return agent
    return as_begun(begun, agent, surroundings(caches, namespace, spec_of(begun, agent)))
