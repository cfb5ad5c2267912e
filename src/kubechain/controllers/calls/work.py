"""Puts the worker of ToolCalls together."""

from __future__ import annotations

from kubechain.controllers.calls.builtin import BuiltinRunner
from kubechain.controllers.calls.executions import shard_of
from kubechain.controllers.calls.lines import Lines
from kubechain.controllers.calls.results import Results
from kubechain.controllers.calls.toolcall import ToolCallController
from kubechain.controllers.calls.tools import Tools, at_rest, wakes
from kubechain.controllers.parts import Parts
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.replicas.share import Sharded
from kubechain.runtime.worker import Worker


def calls_worker(parts: Parts) -> Worker[ToolCall]:
    """Not running yet."""
    p, at_work, results = parts, parts.executions, Results(parts.api)
    for runner in p.tools:
        runner.on_end(at_work.look_at)
    tools, lines = Tools(p.caches, (*p.tools, BuiltinRunner(results))), Lines(p.caches)
    worker = Worker(
        ToolCallController(p, tools, results, lines),
        p.caches.calls,
        wakes(p.caches, at_work, lines),
        events=p.events,
        at_rest=at_rest,
        sharing=Sharded(p.share, shard_of, lambda call: call.status.holder, at_work.holds),
    )
    lines.wake = worker.wake
    return worker
