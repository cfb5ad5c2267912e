"""What every child of a run carries: its owner, and labels by which people find it."""

from __future__ import annotations

from kubechain.resources.kind import GROUP, owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.taskrun import TASK_RUNS, TaskRun

MAX_LABEL = 63


def child_meta(run: TaskRun, name: str) -> ObjectMeta:
    """Metadata of a child of the run."""
    labels = {"agent": run.status.agent, "task": run.spec.task, "taskrun": run.metadata.name}
    return ObjectMeta(
        name=name,
        namespace=run.metadata.namespace,
        labels={f"{GROUP}/{label}": value[:MAX_LABEL].rstrip("-.") for label, value in labels.items() if value},
        owner_references=[owner_reference(TASK_RUNS, run.metadata)],
    )
