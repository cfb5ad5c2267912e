"""`JobContainers`: containers as batch/v1 Jobs of the cluster that KubeChain works for.

`kubechain operator` has it in its table of tools. A Job's name is computed from its ToolCall, so that any replica
finds it again. Jobs and their pods are watched from the first container tool on, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from msgspec import Raw, json

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
)
from kubechain.errors import AlreadyExists, ApiError, BadRequest, Forbidden, Invalid, NotFound, Transient
from kubechain.logs import Logger
from kubechain.providers.tools.container import job_manifest, work
from kubechain.providers.tools.container.job_state import Cut, Going, JobState, NeverBegan, Over, state_of
from kubechain.providers.tools.container.job_watch import Cluster, JobWatch
from kubechain.providers.tools.container.results import Left, outcome
from kubechain.providers.tools.container.sentences import Ended, too_slow
from kubechain.providers.tools.result import MAX_RESULT_BYTES
from kubechain.resources.toolcall import ExternalWork
from kubechain.resources.workloads import JOBS, NETWORK_POLICIES
from kubechain.runtime.api import ALL_NAMESPACES, DeleteOptions, Key
from kubechain.runtime.clock import now

MOST_ARGUMENTS = 200_000
"""Bytes that annotations of a pod have room for."""
FILE_BYTES = 4096
"""As much of the file with the result as a kubelet reads."""
SPARE = timedelta(seconds=30)
"""After its deadline a Job of which the cluster says nothing is given up; after its start, a missing one."""
CLOSE_SECONDS = 5.0
log = Logger(__name__)


class JobContainers(ToolRunner):
    """Over one cluster: `namespace` is the one that is looked after."""

    kind = "container"

    def __init__(self, cluster: Cluster, namespace: str = ALL_NAMESPACES) -> None:
        self._cluster = cluster
        self._watch = JobWatch(cluster, namespace)
        self._closed: set[str] = set()
        """Namespaces that have the NetworkPolicy."""
        self._errands: set[asyncio.Task[None]] = set()

    def serves(self, provider: Provider | None) -> bool:
        return work.serves(provider)

    def on_end(self, told: Callable[[str], None]) -> None:
        self._watch.told = told

    async def describe(self, provider: Provider, env: Environment) -> Described:
        tool = work.container_of(provider)
        await self._watch.ready(provider.metadata.namespace)
        description = Description(provider.metadata.name, "", Raw(b'{"type":"object"}'))
        return Described([description], "JobsAllowed", f"Image {tool.image} runs as a Job of this cluster")

    def foresee(self, run: ToolRun) -> Parked:
        return _parked(run, work.work_name(run))

    async def start(self, run: ToolRun) -> Parked:
        await self._watch.ready(run.call.metadata.namespace)
        name = work.work_name(run)
        await self._create(run, name)
        return _parked(run, name)

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        namespace = run.call.metadata.namespace
        await self._watch.ready(namespace)
        job = self._watch.job(Key(namespace, handle.id))
        if job is None:
            return await self._missed(run, handle)
        image = work.container_of(run.provider).image
        match state_of(job, self._watch.pod(run.call.metadata.uid, handle.id), image):
            case Over(pod, how):
                code, oom, told = how.exit_code, how.reason == "OOMKilled", how.message
                return await self._outcome(run, pod, Ended(code, out_of_memory=oom), told)
            case Going(trouble):
                if now() < work.deadline(run, now()) + SPARE:
                    return _parked(run, handle.id, trouble)
                await self._delete(namespace, handle.id)
                raise Transient(too_slow(run.timeout), reason="Timeout")
            case state:
                raise self._failure(run, handle.id, state)

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:
        await self._delete(run.call.metadata.namespace, handle.id)

    def release(self, run: ToolRun, handle: ExternalWork) -> None:
        errand = asyncio.create_task(self._delete(run.call.metadata.namespace, handle.id))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def close(self) -> None:
        """Leaves the Jobs that run: they are found again."""
        await self._watch.close()
        if self._errands:
            await asyncio.wait(self._errands, timeout=CLOSE_SECONDS)

    async def _create(self, run: ToolRun, name: str) -> None:
        """Creates the Job, unless it is there. Raises ToolError where the cluster refuses it, ApiError."""
        if len(run.arguments) > MOST_ARGUMENTS:
            raise ToolError(f"the arguments have more than {MOST_ARGUMENTS:,} bytes; send fewer")
        namespace = run.call.metadata.namespace
        try:
            if work.container_of(run.provider).network != "Egress" and namespace not in self._closed:
                policy = json.encode(job_manifest.no_network(namespace))
                await self._cluster.ensure(NETWORK_POLICIES.raw, policy)
                self._closed.add(namespace)
            await self._cluster.create(JOBS.raw, json.encode(job_manifest.job(run, name)))
        except AlreadyExists:
            return
        except (Forbidden, Invalid, BadRequest) as error:
            raise ToolError(f"the cluster refused the Job: {error}") from error

    async def _missed(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        """The watch shows no such Job: it may not have been created, or somebody deleted it."""
        try:
            await self._cluster.get(JOBS.raw, handle.id, run.call.metadata.namespace)
        except NotFound:
            if now() < work.started(run, now()) + SPARE:  # too early for it to be gone
                await self._create(run, handle.id)
            else:
                raise Transient(f"Job {handle.id} was deleted by someone else", reason="Interrupted") from None
        return _parked(run, handle.id)

    async def _outcome(self, run: ToolRun, pod: str, ended: Ended, told: str) -> Done:
        tool = work.container_of(run.provider)
        if ended.code == 0 and told:
            cut = "\n[cut: a cluster keeps 4,096 bytes of result.json; print longer results]"
            text = told + (cut if len(told.encode()) >= FILE_BYTES else "")
            return outcome(ended, Left(text.encode()), tool.memory)
        tail = 0 if ended.code == 0 else 50
        try:
            printed = await self._cluster.log(run.call.metadata.namespace, pod, MAX_RESULT_BYTES + 1, tail)
        except NotFound:
            printed = b"[the log of its pod is gone]"
        return outcome(Ended(ended.code, printed, out_of_memory=ended.out_of_memory), Left(), tool.memory)

    def _failure(self, run: ToolRun, name: str, state: JobState) -> ToolError | Transient:
        match state:
            case Cut(why, late=True):
                return Transient(f"{too_slow(run.timeout)}{f' ({why})' if why else ''}", reason="Timeout")
            case Cut(why):
                words = f"Job {name} was cut off: {why}; its program may have done a part of its work"
                if self.nature(run.provider, run.tool).on_interrupt == "Retry":
                    return Transient(words, reason="Interrupted")
                return ToolError(words)
            case NeverBegan(why):
                return ToolError(f"the container was not started: {why}")
            case _:
                raise AssertionError(f"{state} is no failure")

    async def _delete(self, namespace: str, name: str) -> None:
        try:
            await self._cluster.delete(JOBS.raw, name, namespace, DeleteOptions(propagation="Background"))
        except NotFound:
            return
        except ApiError as error:
            log.warning(
                "a Job may be left; the cluster deletes it an hour after its end", job=name, error=str(error)
            )


def _parked(run: ToolRun, name: str, trouble: str = "") -> Parked:
    until = work.deadline(run, now()) + SPARE
    return Parked(ExternalWork(id=name), until, f"Job {name}" + (f": {trouble}" if trouble else ""))
