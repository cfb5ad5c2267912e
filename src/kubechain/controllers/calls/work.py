"""The worker of ToolCalls: its controller, what wakes it, and which of the calls are this replica's."""

from __future__ import annotations

from kubechain.controllers.calls.builtin import BuiltinRunner
from kubechain.controllers.calls.executions import shard_of
from kubechain.controllers.calls.results import Results
from kubechain.controllers.calls.toolcall import ToolCallController
from kubechain.controllers.calls.tools import Tools
from kubechain.controllers.calls.wakes import wakes
from kubechain.controllers.parts import Parts
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.api import key_of
from kubechain.runtime.replicas.share import Sharded
from kubechain.runtime.wakes import Wake
from kubechain.runtime.worker import Worker


def calls_worker(parts: Parts) -> Worker[ToolCall]:
    """Not running yet."""
    p, at_work, results = parts, parts.executions, Results(parts.api)
    tools = Tools(p.caches, (*p.tools, BuiltinRunner(results)))
    return Worker(
        ToolCallController(p, tools, results),
        p.caches.calls,
        (Wake(at_work, lambda old, new: [key_of(new)] if new is not None else []), *wakes(p.caches)),
        events=p.events,
        at_rest=lambda call: call.status.finished,
        turns=Sharded(p.share, shard_of, lambda call: call.status.holder, at_work.holds),
    )
