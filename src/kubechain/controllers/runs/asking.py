"""Puts a run's question to its model. The TaskRun controller calls it; what follows is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from kubechain.agents.builtin.table import offers
from kubechain.agents.ports.model import Endpoint, ModelProvider, Reply, ToolOffer
from kubechain.agents.run import checkpoint
from kubechain.agents.run.history import mended
from kubechain.agents.run.scene import Ask
from kubechain.controllers.progress import Lasting, Progress
from kubechain.controllers.runs.checkpoints import Checkpoints
from kubechain.resources.model import Clock
from kubechain.resources.taskrun import TaskRun


def no_line(endpoint: Endpoint) -> str:
    """Nobody waits for a turn."""
    return ""


class Asking(Struct, frozen=True):
    """`models` answers; a request that takes over a second shows in the run, with its place in the `line`."""

    models: ModelProvider
    checkpoints: Checkpoints
    clock: Clock
    line: Callable[[Endpoint], str] = no_line
    _lasting: Lasting = field(default_factory=Lasting)

    async def reply(self, run: TaskRun, ask: Ask, endpoint: Endpoint) -> tuple[TaskRun, Reply]:
        """One reply, and the run as it is by then. Raises Transient and Terminal."""

        async def show() -> TaskRun:
            waiting_on = f"llm:{ask.llm.metadata.name}{self.line(endpoint)}"
            status = checkpoint.running(run, ask.agent.metadata.name, waiting_on, self.clock())
            return await self.checkpoints.put(run, status)

        earlier = await self.checkpoints.transcripts.before_window(run)
        messages = [*earlier, *run.status.messages, *ask.unsaved]
        if ask.mended:
            messages = mended(messages)
        tools = [ToolOffer(t.name, t.description, t.parameters) for t in ask.tools]
        tools += offers(run, ask.stored, [tool.name for tool in tools])
        async with Progress(self._lasting, show) as progress:
            reply = await self.models.ask(endpoint, messages, tools)
        return progress.shown or run, reply
