"""Kinds of a real cluster that the program uses there and does not serve itself: Jobs, Pods, NetworkPolicies.

Only what is read of them is typed; the tool kind `container` writes and reads them.
"""

from __future__ import annotations

import msgspec

from kubechain.resources.builtin import Plain
from kubechain.resources.kind import Kind
from kubechain.resources.model import Model, Resource


class WorkloadCondition(Model, kw_only=True, gc=False):
    """One condition of a Job or a Pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class JobStatus(Model, kw_only=True, gc=False):
    """How a Job stands."""

    conditions: list[WorkloadCondition] = []


class Job(Resource, kw_only=True, gc=False):
    """batch/v1; its spec is written and never read."""

    status: JobStatus = msgspec.field(default_factory=JobStatus)


class Waiting(Model, kw_only=True, gc=False):
    """Why a container has not begun."""

    reason: str = ""
    message: str = ""


class Terminated(Model, kw_only=True, gc=False):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerPhase(Model, kw_only=True, gc=False):
    """One of these, or none, is there."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Model, kw_only=True, gc=False):
    """One container of a Pod."""

    name: str = ""
    state: ContainerPhase = msgspec.field(default_factory=ContainerPhase)


class PodStatus(Model, kw_only=True, gc=False):
    """How a Pod stands."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[WorkloadCondition] = []
    container_statuses: list[ContainerStatus] = []


class Pod(Resource, kw_only=True, gc=False):
    """core/v1; its spec is not read."""

    status: PodStatus = msgspec.field(default_factory=PodStatus)


JOBS = Kind("batch", "v1", "Job", "jobs", Job)
PODS = Kind("", "v1", "Pod", "pods", Pod)
NETWORK_POLICIES = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", Plain)
