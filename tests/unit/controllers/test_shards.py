"""What one replica works on: a run, the runs of its sub-agents, and the calls of all of them."""

from __future__ import annotations

from kubechain.controllers.calls import executions
from kubechain.controllers.calls.children import child_run
from kubechain.controllers.runs import dependencies
from kubechain.controllers.runs.checkpoints import child_meta
from kubechain.resources.taskrun import Parent, TaskRun
from kubechain.resources.toolcall import ToolCall
from tests.unit.agents.scenes import call, run


def call_of(of: TaskRun, name: str) -> ToolCall:
    made = call(name)
    made.metadata = child_meta(of, name)
    return made


def child_of(of: TaskRun, name: str) -> TaskRun:
    made = child_run(call_of(of, f"{name}-call"), of, "clerk", name, "work")
    made.status.root, made.status.depth = of.root, of.status.depth + 1
    made.status.parent = Parent(task_run=of.metadata.name, tool_call=f"{name}-call")
    return made


def test_a_tree_is_one_shard() -> None:
    top = run()
    child = child_of(top, "child")
    grandchild = child_of(child, "grandchild")
    shards = [
        *(dependencies.shard_of(one) for one in (top, child, grandchild)),
        executions.shard_of(call_of(child, "c-1-1")),
        executions.shard_of(call_of(grandchild, "g-1-1")),
    ]
    assert set(shards) == {"default/r"}
