"""What is told of a run as Events, after a checkpoint was saved. The TaskRun controller calls it."""

from __future__ import annotations

from kubechain.agents.run.checkpoint import FINAL_ANSWER, SUCCEEDED, answered
from kubechain.agents.run.gates import OUTCOME_UNKNOWN, TOOL_CALLS_REQUESTED
from kubechain.agents.run.scene import Ask, Wait
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunStatus
from kubechain.runtime.recorder import EventRecorder


def waits(events: EventRecorder, run: TaskRun, wait: Wait) -> None:
    """Only what a person has to do something about is told."""
    if wait.reason == OUTCOME_UNKNOWN:
        events.warning(TASK_RUNS, run, OUTCOME_UNKNOWN, wait.on)


def narrate(events: EventRecorder, run: TaskRun, ask: Ask, status: TaskRunStatus) -> None:
    """`run` as it was before `status` was saved."""
    condition = next(c for c in status.conditions if c.type == SUCCEEDED)
    if run.status.turns == 0 and status.turns:
        note = f"Agent {ask.agent.metadata.name} works on task {run.spec.task}"
        events.normal(TASK_RUNS, run, "Started", note)
    match condition.reason:
        case "ToolCallsRequested":
            names = ", ".join(call.function.name for call in status.messages[-1].tool_calls)
            events.normal(TASK_RUNS, run, TOOL_CALLS_REQUESTED, f"Turn {status.turns}: {names}")
        case "FinalAnswer":
            events.normal(TASK_RUNS, run, FINAL_ANSWER, answered(status))
        case reason:
            events.warning(TASK_RUNS, run, reason, condition.message)
