"""The Task controller: is the agent that is to do it ready?"""

from __future__ import annotations

from msgspec import Struct

from kubechain.agents.toolbox import Verdict, missing, not_ready
from kubechain.controllers.caches import Caches
from kubechain.controllers.saving import save_status
from kubechain.controllers.setup.readiness import judged
from kubechain.resources.model import Clock
from kubechain.resources.task import TASKS, Task
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next


class TaskController(Struct):
    api: Api
    caches: Caches
    clock: Clock
    kind = TASKS

    async def reconcile(self, task: Task) -> Next:
        status = judged(task.status, self._verdict(task), task.metadata.generation, self.clock)
        if status != task.status:
            await save_status(self.api, self.caches.tasks, task, status)
        return Done()

    async def gone(self, last: Task) -> None:
        """Nothing was begun for it."""

    def _verdict(self, task: Task) -> Verdict:
        agent = self.caches.agents.get(Key(task.metadata.namespace, task.spec.agent))
        if agent is None:
            return missing("Agent", task.spec.agent)
        if not agent.status.ready:
            return not_ready("Agent", task.spec.agent, agent.status)
        return Verdict("Ready", "AgentReady", f'Agent "{task.spec.agent}" is ready')
