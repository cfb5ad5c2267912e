"""How a Job stands: read from the Job and its pod.

`jobs` calls it. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from kubechain.providers.tools.container.job_manifest import CONTAINER
from kubechain.resources.workloads import Job, Pod, Terminated

HOPELESS = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
    }
)
"""Why a container waits that will never begin without somebody's help."""
IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


class Going(Struct, frozen=True):
    """It has not ended; `trouble` says what it waits for, if that is worth a word."""

    trouble: str = ""


class NeverBegan(Struct, frozen=True):
    """The program was not started and will not be."""

    why: str


class Over(Struct, frozen=True):
    """The program has ended by itself, in this pod."""

    pod: str
    how: Terminated


class Cut(Struct, frozen=True):
    """The cluster ended the program. `late`: at its deadline."""

    why: str
    late: bool = False


JobState: TypeAlias = Going | NeverBegan | Over | Cut


def state_of(job: Job, pod: Pod | None, image: str) -> JobState:
    """What has become of the Job."""
    failed = next(
        (c for c in job.status.conditions if c.type in ("Failed", "FailureTarget") and c.status == "True"), None
    )
    if failed is not None and failed.reason == "DeadlineExceeded":
        return Cut(_waited(pod, image), late=True)
    if pod is None:
        if failed is not None:
            return Cut("its pod was deleted, or its node was lost, before the program ended")
        return Going()
    if pod.status.reason == "Evicted":
        return Cut(f"its pod was evicted ({pod.status.message.strip() or 'the node is short of resources'})")
    disrupted = next(
        (c for c in pod.status.conditions if c.type == "DisruptionTarget" and c.status == "True"), None
    )
    ended = _ended(pod)
    if disrupted is not None and (ended is None or ended.exit_code):
        return Cut(f"its pod was evicted ({disrupted.message.strip() or disrupted.reason})")
    if ended is not None and (ended.exit_code == 0 or pod.metadata.deletion_timestamp is None):
        return Over(pod.metadata.name, ended)
    if pod.metadata.deletion_timestamp is not None:
        return Going() if failed is None else Cut("its pod was deleted before the program ended")
    reason = _waits(pod)
    return NeverBegan(_waited(pod, image)) if reason in HOPELESS else Going(_waited(pod, image))


def _ended(pod: Pod) -> Terminated | None:
    return next((c.state.terminated for c in pod.status.container_statuses if c.name == CONTAINER), None)


def _waits(pod: Pod) -> str:
    waiting = next((c.state.waiting for c in pod.status.container_statuses if c.name == CONTAINER), None)
    return waiting.reason if waiting is not None else ""


def _waited(pod: Pod | None, image: str) -> str:
    """Why the program has not begun; "" if it has, or if there is nothing to say."""
    if pod is None:
        return "no pod was made for it: see `kubectl describe job`"
    waiting = next((c.state.waiting for c in pod.status.container_statuses if c.name == CONTAINER), None)
    if waiting is not None and waiting.reason in IMAGE:
        return (
            f"image {image} cannot be pulled ({waiting.message or waiting.reason}); correct its name, or push it"
        )
    if waiting is not None and waiting.reason in HOPELESS:
        return f"its container cannot be started ({waiting.message or waiting.reason})"
    unscheduled = next(
        (c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False"), None
    )
    return f"no node takes its pod ({unscheduled.message})" if unscheduled is not None else ""
