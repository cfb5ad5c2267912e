"""What the run of a sub-agent came to, as the result or the error of the call. Pure.

The runner of sub-agents (`controllers/calls/delegation`) calls it when that run has finished.
"""

from __future__ import annotations

from kubechain.agents.run.checkpoint import ANSWER_CUT_OFF, SUCCEEDED
from kubechain.resources.taskrun import TaskRun


def answer_of(child: TaskRun) -> str:
    """The result of a call whose run has answered; it says where the answer was cut off."""
    condition = next((c for c in child.status.conditions if c.type == SUCCEEDED), None)
    if condition is not None and condition.reason == ANSWER_CUT_OFF:
        return f"{child.status.output}\n[{condition.message}]"
    return child.status.output


def failure_of(child: TaskRun, agent: str) -> str:
    """The error of a call whose run has failed: told to the model."""
    condition = next((c for c in child.status.conditions if c.type == SUCCEEDED), None)
    reason = condition.reason if condition is not None else "Failed"
    why = child.status.error or "no reason given"
    return f"agent {agent} failed (TaskRun {child.metadata.name}): {reason}: {why}"
