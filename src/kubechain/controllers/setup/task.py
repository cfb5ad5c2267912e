"""The Task controller: can its conversation be sent, and is its agent ready?"""

from __future__ import annotations

from typing import Any

from kubechain.agents.run.window import INVALID, problem
from kubechain.agents.toolbox import Assessment, missing, not_ready
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.readiness import Readiness
from kubechain.resources.task import TASKS, Task
from kubechain.runtime.api import Key
from kubechain.runtime.controller import Next
from kubechain.runtime.wakes import Wake, referred


class TaskController:
    kind = TASKS

    def __init__(self, parts: Parts) -> None:
        self._caches = parts.caches
        self._readiness = Readiness(parts.api, parts.caches.tasks, parts.clock)

    async def reconcile(self, task: Task) -> Next:
        return await self._readiness.say(task, task.status, task.status, self._assessed(task))

    async def gone(self, last: Task) -> None:
        """Nothing to end: nothing was started for it."""

    def _assessed(self, task: Task) -> Assessment:
        if task.spec.context_window is not None and (wrong := problem(task.spec.context_window)):
            return Assessment("Error", INVALID, wrong)
        agent = self._caches.agents.get(Key(task.metadata.namespace, task.spec.agent))
        if agent is None:
            return missing("Agent", task.spec.agent)
        if not agent.status.ready:
            return not_ready("Agent", task.spec.agent, agent.status)
        return Assessment("Ready", "AgentReady", f'Agent "{task.spec.agent}" is ready')


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its agent."""
    return (referred(caches.agents, caches.tasks, "agent"),)
