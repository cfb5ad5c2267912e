"""The runs of sub-agents: found, and made once for their ToolCall. The runner of sub-agents calls it.

What the cache does not know yet is asked of the API, so a child is never missed and never made twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from kubechain.agents.delegation import reach
from kubechain.agents.delegation.offer import message_of
from kubechain.agents.delegation.reach import Level
from kubechain.agents.naming import label_value
from kubechain.agents.ports.tool import ToolError
from kubechain.agents.run import transcript
from kubechain.controllers.caches import Caches
from kubechain.errors import Invalid, NotFound, TooLarge
from kubechain.resources.kind import GROUP, controller_of, owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.run_limits import Limits
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api, Key


class Children(Struct, frozen=True):
    """Over one `Api`."""

    api: Api
    caches: Caches

    def known(self, call: ToolCall, name: str) -> TaskRun | None:
        """The child as the cache has it."""
        return self.caches.runs.get(Key(call.metadata.namespace, name))

    async def find(self, call: ToolCall, name: str) -> TaskRun | None:
        """The child; None where there is none."""
        known = self.known(call, name)
        if known is not None:
            return known
        with suppress(NotFound):
            return await self.api.get(TASK_RUNS, name, call.metadata.namespace)
        return None

    async def ensure(self, call: ToolCall, agent: str, name: str, arguments: bytes) -> None:
        """Makes sure that the child is there. What forbids it is asked only where it is not. Raises ToolError."""
        child = self.known(call, name) or await self._begin(call, agent, name, arguments)
        owner = controller_of(child)
        if owner is None or owner.uid != call.metadata.uid:
            raise ToolError(f"TaskRun {name} is there already, and belongs to something else; call again")

    async def _begin(self, call: ToolCall, agent: str, name: str, arguments: bytes) -> TaskRun:
        message = message_of(arguments)
        if message is None:
            raise ToolError(f'give {{"message": "..."}}: what agent {agent} is to do')
        parent = self.caches.runs.get(Key(call.metadata.namespace, call.spec.task_run))
        if parent is None:
            raise NotFound(f"TaskRun {call.spec.task_run} of ToolCall {call.metadata.name} is gone")
        above = levels_above(self.caches, parent)
        no = reach.comes_back(agent, above) or reach.too_deep(above) or await self._too_wide(above, parent, call)
        if no:
            raise ToolError(no)
        try:
            child = await self.api.ensure(TASK_RUNS, child_run(call, parent, agent, name, message))
        except (Invalid, TooLarge) as error:
            raise ToolError(f"agent {agent} could not be asked that: {error}") from error
        self.caches.runs.remember(child)
        return child

    async def _too_wide(self, above: Sequence[Level], parent: TaskRun, call: ToolCall) -> str | None:
        """Counts the sub-agents that the reply calls before this one, and this one."""
        names, limits = transcript.names(parent), above[0].limits
        before = names[: names.index(call.metadata.name)] if call.metadata.name in names else []
        if reach.too_wide(limits, len(before) + 1) is None:
            return None
        place = 1
        for name in before:
            place += await self._calls_agent(call, name)
        return reach.too_wide(limits, place)

    async def _calls_agent(self, call: ToolCall, sibling: str) -> bool:
        other: ToolCall | None = self.caches.calls.get(Key(call.metadata.namespace, sibling))
        if other is None:
            other = await self.api.get(TOOL_CALLS, sibling, call.metadata.namespace)
        return other.spec.origin is not None and bool(other.spec.origin.agent)


def child_run(call: ToolCall, parent: TaskRun, agent: str, name: str, message: str) -> TaskRun:
    """The run of a sub-agent. Its owner is the ToolCall."""
    labels = {"agent": agent, "taskrun": parent.metadata.name, "root": parent.root}
    meta = ObjectMeta(
        name=name,
        namespace=call.metadata.namespace,
        labels={f"{GROUP}/{label}": label_value(value) for label, value in labels.items()},
        owner_references=[owner_reference(TOOL_CALLS, call.metadata)],
    )
    return TaskRun(metadata=meta, spec=TaskRunSpec(agent=agent, user_message=message))


def levels_above(caches: Caches, run: TaskRun) -> list[Level]:
    """The run itself, the run that called it, and so on up to the top, or to what is gone."""
    found: list[Level] = []
    above: TaskRun | None = run
    while above is not None:
        found.append(Level(above.metadata.name, above.status.agent, _limits(caches, above)))
        parent = above.status.parent
        above = caches.runs.get(Key(run.metadata.namespace, parent.task_run)) if parent else None
    return found


def _limits(caches: Caches, run: TaskRun) -> list[Limits]:
    """What the run, its task and its agent allow."""
    namespace = run.metadata.namespace
    task = caches.tasks.get(Key(namespace, run.spec.task)) if run.spec.task else None
    agent = caches.agents.get(Key(namespace, run.status.agent))
    stated = (run.spec.limits, task.spec.limits if task else None, agent.spec.limits if agent else None)
    return [limits for limits in stated if limits is not None]
