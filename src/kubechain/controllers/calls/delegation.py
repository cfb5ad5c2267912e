"""`DelegationRunner`: calls of other agents, whether a Tool names the agent or another Agent lists it.

A call is a TaskRun of its own, under a name computed from the ToolCall that owns it: created once, whatever
crashes. Meanwhile the ToolCall is parked; the end of that run wakes it (`work`), and nothing is kept in memory.
Deleting the ToolCall deletes the run, and with it everything below; that needs no request of ours.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.delegation.answer import answer_of, failure_of
from kubechain.agents.delegation.offer import PARAMETERS, told_of
from kubechain.agents.naming import sub_run_name
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
    call_timeout,
)
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.children import Children
from kubechain.errors import Terminal, Transient
from kubechain.resources.agent import Agent
from kubechain.resources.model import Clock, moment
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ExternalWork, ToolCall
from kubechain.runtime.api import Api, Key


class DelegationRunner(ToolRunner):
    """Starts a child, and looks at it when it is woken. A child whose call is over ends by itself."""

    kind = "agent"

    def __init__(self, api: Api, caches: Caches, clock: Clock) -> None:
        self._children, self._clock = Children(api, caches), clock

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Agent) or (isinstance(provider, Tool) and provider.spec.agent is not None)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        """The Tool controller has waited for the agent; it may be gone again."""
        if not isinstance(provider, Tool) or provider.spec.agent is None:
            raise Terminal("an Agent is described by the Agent controller", reason="UnknownKind")
        name = provider.spec.agent.name
        agent = self._children.caches.agents.get(Key(provider.metadata.namespace, name))
        tool = Description(provider.metadata.name, told_of(agent, name), PARAMETERS, "ReadOnly")
        return Described([tool], "AgentReady", f'Its calls are runs of Agent "{name}"')

    async def start(self, run: ToolRun) -> Parked:
        agent = _agent_of(run.call)
        name = sub_run_name(agent, run.call.metadata.uid)
        await self._children.ensure(run.call, agent, name, run.arguments)
        return self._parked(run, agent, name)

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        agent, child = _agent_of(run.call), await self._children.find(run.call, handle.id)
        if child is None or child.metadata.deletion_timestamp is not None:
            raise ToolError(f"TaskRun {handle.id} of agent {agent} was deleted before it had an answer")
        if child.status.phase == "FinalAnswer":
            return Done(answer_of(child))
        if child.status.finished:
            raise ToolError(failure_of(child, agent))
        parked = self._parked(run, agent, handle.id)
        if parked.until is not None and self._clock() >= parked.until:
            raise Transient(f"agent {agent} had no answer within {run.timeout:g} s", reason="Timeout")
        return parked

    def ended(self, run: ToolRun, handle: ExternalWork) -> bool:
        child = self._children.known(run.call, handle.id)
        return child is None or child.status.finished or child.metadata.deletion_timestamp is not None

    def _parked(self, run: ToolRun, agent: str, name: str) -> Parked:
        on = f"agent:{agent} (taskrun {name})"
        return Parked(ExternalWork(id=name), self._until(run), on, "AwaitingSubAgent")

    def _until(self, run: ToolRun) -> datetime | None:
        """When its time is up; None where no timeout is stated."""
        if not isinstance(run.provider, Tool) or not run.provider.spec.timeout:
            return None
        started = run.call.status.start_time
        return (moment(started) if started else self._clock()) + timedelta(seconds=call_timeout(run.provider))


def _agent_of(call: ToolCall) -> str:
    """The agent that the call runs, as it was when the call was made."""
    origin = call.spec.origin
    return origin.agent if origin is not None else ""
