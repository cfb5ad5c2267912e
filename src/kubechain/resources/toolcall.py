"""ToolCall: one call of one tool, a child of the run whose model asked for it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kubechain.resources.agent import ToolOrigin
from kubechain.resources.effect import Trouble
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, doc, immutable

Phase = Literal["Pending", "Running", "AwaitingSubAgent", "Succeeded", "Failed", "OutcomeUnknown"]
FINISHED: frozenset[str] = frozenset({"Succeeded", "Failed"})
PARKED: frozenset[str] = frozenset({"Running", "AwaitingSubAgent"})
"""Phases of a call whose work continues outside KubeChain's process."""


class ToolCallSpec(Model, kw_only=True, gc=False):
    """Which tool is called, for which run, with which arguments. Cannot be changed."""

    rules = (immutable("a ToolCall cannot be changed"),)

    tool_call_id: Annotated[str, doc("The provider's id of this call.")]
    task_run: Annotated[str, doc("Name of the TaskRun it belongs to; absent for a call that a person makes.")] = ""
    tool: Annotated[str, doc("The tool, by the name the model called.")]
    arguments: Annotated[str, doc("The arguments as the model wrote them: JSON in a string.")] = ""
    origin: Annotated[ToolOrigin, doc("The object that provides the tool; absent when there is none.")] | None = (
        None
    )


class StoredResult(Model, kw_only=True, gc=False):
    """A result that is too long for the ToolCall: where all of it is stored."""

    name: Annotated[str, doc("Its parts are the ToolResults NAME-1, NAME-2, ...")]
    parts: Annotated[int, doc("How many parts there are.")]
    characters: Annotated[int, doc("How long it is.")]


class ExternalWork(Model, kw_only=True, gc=False):
    """Work outside KubeChain's process, which this call waits for."""

    id: Annotated[str, doc("What identifies the work after a restart.")]
    url: Annotated[str, doc("Where a person can look at it.")] = ""
    state: Annotated[
        str, doc("What else is needed to go on with it; only whoever does the work understands it.")
    ] = ""


class StoredArtifact(Model, kw_only=True, gc=False):
    """A file that the tool made: what it is, and where its bytes are stored."""

    handle: Annotated[str, doc("The ToolCall and the name of the file, as in CALL/chart.png.")]
    media_type: Annotated[str, doc("What it is, as in image/png.")] = ""
    size: Annotated[int, doc("Bytes.")] = 0
    stored: Annotated[str, doc("Its parts are the ToolResults STORED-1, STORED-2, ...")] = ""
    parts: Annotated[int, doc("How many parts there are.")] = 0


class CallRetry(Model, kw_only=True, gc=False):
    """A call that failed and is tried again."""

    reason: Annotated[Trouble, doc("Why it failed last: Timeout, Transient, RateLimited or ServerError.")]
    failures: Annotated[int, doc("How often it failed so far.")] = 0
    next_time: Annotated[str, doc("When it is tried again.", schema={"format": "date-time"})] = ""


class ToolCallStatus(Model, kw_only=True, gc=False):
    """The phase of the call, and its result."""

    initial = {"phase": "Pending"}

    phase: (
        Annotated[Phase, doc("Pending, Running, AwaitingSubAgent, Succeeded, Failed or OutcomeUnknown.")] | None
    ) = None
    attempts: Annotated[int, doc("How often the tool was started.")] = 0
    result: Annotated[str, doc("What the tool returned; of a big result, its beginning.")] = ""
    stored: Annotated[StoredResult, doc("Where the whole of a big result is.")] | None = None
    artifacts: Annotated[list[StoredArtifact], doc("The files that the tool made.")] = []
    error: Annotated[str, doc("Why it failed; this text is told to the model.")] = ""
    reason: Annotated[str, doc("Why it failed, in one CamelCase word.")] = ""
    retry: Annotated[CallRetry, doc("How often it failed so far, and when it is tried again.")] | None = None
    waiting_on: Annotated[str, doc("What it waits for, in one line.")] = ""
    progress: Annotated[str, doc("How far the tool says it is, while it runs.")] = ""
    start_time: Annotated[str, doc("When the tool was started.", schema={"format": "date-time"})] = ""
    completion_time: Annotated[str, doc("When it ended.", schema={"format": "date-time"})] = ""
    external: (
        Annotated[ExternalWork, doc("The work outside KubeChain's process that this call waits for, if any.")]
        | None
    ) = None
    deaths: Annotated[int, doc("How often the tool process died during this call.")] = 0
    holder: Annotated[str, doc("The replica of the operator that is working on the call; empty if none is.")] = ""

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED


class ToolCall(Resource, kw_only=True, gc=False):
    """A ToolCall is one call of one tool that a model asked for."""

    spec: Annotated[ToolCallSpec, doc("Desired state.")]
    status: Annotated[ToolCallStatus, doc("Observed state.")] = msgspec.field(default_factory=ToolCallStatus)


TOOL_CALLS = our_kind(
    ToolCall,
    "toolcalls",
    columns=(
        Column("Phase", ".status.phase", description="Phase of the call"),
        Column("TaskRun", ".spec.taskRun", description="The run it belongs to"),
        Column("Tool", ".spec.tool", description="The tool called"),
        Column("Started", ".status.startTime", "date", wide=True, description="Since the tool was started"),
        Column("Completed", ".status.completionTime", "date", wide=True, description="Since it ended"),
        Column("Error", ".status.error", wide=True, description="Why it failed"),
    ),
    selectable=("spec.taskRun", "spec.tool", "status.phase"),
)
