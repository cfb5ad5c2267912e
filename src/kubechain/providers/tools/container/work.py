"""What both engines share: the container that a call asks for, its name, and the labels that find it again.

`local` and `jobs` call it. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kubechain.agents.ports.tool import Provider, ToolRun
from kubechain.errors import Terminal
from kubechain.resources.kind import GROUP
from kubechain.resources.model import moment
from kubechain.resources.tool import Tool
from kubechain.resources.tool_container import ContainerTool

FOLDER = "/kubechain"
"""Where a container finds its arguments and leaves files."""
ARGUMENTS, RESULT, ARTIFACTS = "args.json", "result.json", "artifacts"
USER = 65532
"""The user and the group of every container."""
CALL_LABEL, RUN_LABEL, TOOL_LABEL = f"{GROUP}/toolcall", f"{GROUP}/taskrun", f"{GROUP}/tool"
UID_LABEL = f"{GROUP}/toolcall-uid"
MOST = 63
"""Characters in the value of a label."""
PREFIX = "kubechain-"


def serves(provider: Provider | None) -> bool:
    """Whether the provider is a container tool."""
    return isinstance(provider, Tool) and provider.spec.container is not None


def container_of(provider: Provider | None) -> ContainerTool:
    """The container of the tool. Raises Terminal."""
    if isinstance(provider, Tool) and provider.spec.container is not None:
        return provider.spec.container
    name = provider.metadata.name if provider is not None else ""
    raise Terminal(f'Tool "{name}" has no container to run; set spec.container', reason="UnknownKind")


def work_name(run: ToolRun) -> str:
    """The name of the container, or Job, of this attempt: computed, so that a restart finds it.

    A call that is shown as Running is in the attempt that `attempts` counts; any other is about to begin the next.
    """
    status = run.call.status
    attempt = status.attempts if status.phase == "Running" else status.attempts + 1
    return f"{PREFIX}{run.call.metadata.uid}-{attempt}"


def uid_in(name: str) -> str:
    """The uid of the ToolCall in a name that `work_name` made."""
    return name.removeprefix(PREFIX).rpartition("-")[0]


def labels(run: ToolRun) -> dict[str, str]:
    """What finds the work of a call, with kubectl, podman and docker."""
    meta, spec = run.call.metadata, run.call.spec
    named = {CALL_LABEL: meta.name, RUN_LABEL: spec.task_run, TOOL_LABEL: spec.tool, UID_LABEL: meta.uid}
    return {label: value[:MOST].rstrip("-._") for label, value in named.items()}


def started(run: ToolRun, now: datetime) -> datetime:
    """When this attempt of the call began."""
    status = run.call.status
    return moment(status.start_time) if status.start_time and status.phase == "Running" else now


def deadline(run: ToolRun, now: datetime) -> datetime:
    """When the call has taken as long as it may."""
    return started(run, now) + timedelta(seconds=run.timeout)
