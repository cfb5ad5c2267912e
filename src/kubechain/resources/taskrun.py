"""TaskRun: a task being done, with the conversation as it stands."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kubechain.resources.agent import SubAgent
from kubechain.resources.kind import GROUP, Column, our_kind
from kubechain.resources.message import Message
from kubechain.resources.model import Condition, Model, Resource, Rule, doc, immutable
from kubechain.resources.readiness import CONDITION_LIST
from kubechain.resources.run_limits import Limits

Phase = Literal["Pending", "Running", "FinalAnswer", "Failed"]
FINISHED: frozenset[str] = frozenset({"FinalAnswer", "Failed"})
ROOT_LABEL = f"{GROUP}/root"
"""The label of everything below a run that no other run called: its name, as far as a label takes it."""


def _one_start(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("task" in node) != ("agent" in node)


def _is_asked(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("agent" not in node or "userMessage" in node)


class TaskRunSpec(Model, kw_only=True, gc=False):
    """Which task is done, or what an agent is asked. Cannot be changed."""

    rules = (
        immutable("a TaskRun cannot be changed; create another one"),
        Rule("has(self.task) != has(self.agent)", "set one of task and agent", _one_start),
        Rule("!has(self.agent) || has(self.userMessage)", "with agent, set userMessage too", _is_asked),
    )

    task: Annotated[str, doc("Name of the Task.", min_length=1, max_length=253)] = ""
    agent: Annotated[
        str, doc("Name of the Agent that is asked userMessage, without a Task.", min_length=1, max_length=253)
    ] = ""
    user_message: (
        Annotated[str, doc("What the agent is asked; with a Task, it replaces that of the Task.", min_length=1)]
        | None
    ) = None
    limits: Annotated[Limits, doc("Limits of this run.")] | None = None


class Parent(Model, kw_only=True, gc=False):
    """The run that a sub-agent works for, and the call that it answers."""

    task_run: Annotated[str, doc("Name of the TaskRun whose model called the sub-agent.")]
    tool_call: Annotated[str, doc("Name of the ToolCall whose result this run is.")]


class Usage(Model, kw_only=True, gc=False):
    """Tokens spent, as the providers counted them; a count that none of them told is absent."""

    input_tokens: Annotated[int, doc("Tokens read.")] | None = None
    output_tokens: Annotated[int, doc("Tokens written.")] | None = None
    cached_tokens: Annotated[int, doc("Tokens read from the provider's cache.")] | None = None


class History(Model, kw_only=True, gc=False):
    """The part of the conversation that moved out of the status."""

    last: Annotated[str, doc("Name of the newest TranscriptSegment; each names the one before it.")] = ""
    segments: Annotated[int, doc("How many segments there are.")] = 0
    messages: Annotated[int, doc("How many messages they hold.")] = 0


class ChoiceVersion(Model, kw_only=True, gc=False):
    """Which tools of a Tool or an MCPServer the agent listed."""

    name: Annotated[str, doc("Name of the Tool or the MCPServer.")]
    include: Annotated[list[str], doc("Names or globs of the tools to use; empty for all.")] = []
    exclude: Annotated[list[str], doc("Names or globs of the tools not to use.")] = []


class AgentVersion(Model, kw_only=True, gc=False):
    """The agent as it was when the run first asked its model; the run keeps to it."""

    uid: Annotated[str, doc("metadata.uid of the agent.")] = ""
    generation: Annotated[int, doc("metadata.generation of the agent.")] = 0
    llm: Annotated[str, doc("Name of the LLM that the run uses.")] = ""
    tools: Annotated[list[str], doc("Names of the Tools that the agent listed.")] = []
    mcp_servers: Annotated[list[str], doc("Names of the MCPServers that the agent listed.")] = []
    tool_choices: Annotated[list[ChoiceVersion], doc("The Tools of which it listed only some tools.")] = []
    server_choices: Annotated[list[ChoiceVersion], doc("The MCPServers of which it listed only some tools.")] = []
    sub_agents: Annotated[list[SubAgent], doc("The sub-agents that the agent listed.")] = []
    offered_tools: Annotated[Literal["Accept", "Ignore"], doc("Whether it takes offered tools.")] | None = None


class Retry(Model, kw_only=True, gc=False):
    """Requests in a row that brought no usable reply. Absent after a usable one."""

    reason: Annotated[str, doc("Why the last request brought no usable reply.")] = ""
    attempts: Annotated[int, doc("Number of these requests.")] = 0
    unusable: Annotated[int, doc("Number of replies that could not be used. At three, the run fails.")] = 0
    timeouts: Annotated[int, doc("Number of requests without a reply in time. At ten, the run fails.")] = 0
    next_time: Annotated[str, doc("When the model is asked again.", schema={"format": "date-time"})] = ""


class TaskRunStatus(Model, kw_only=True, gc=False):
    """The phase of the run and the conversation so far: the checkpoint that a run continues from."""

    initial = {"phase": "Pending"}

    phase: Annotated[Phase, doc("Pending, Running, FinalAnswer or Failed.")] | None = None
    agent: Annotated[str, doc("Name of the agent that does it.")] = ""
    version: (
        Annotated[
            AgentVersion, doc("The version of the agent that the run uses from its first request to its end.")
        ]
        | None
    ) = None
    parent: Annotated[Parent, doc("What it works for; absent where no other run called it.")] | None = None
    root: Annotated[str, doc("Name of the TaskRun at the top of its tree; absent at the top.")] = ""
    depth: Annotated[int, doc("Levels below the top of its tree; 0 at the top.")] = 0
    start_time: Annotated[str, doc("When work on the run started.", schema={"format": "date-time"})] = ""
    completion_time: Annotated[str, doc("When it finished.", schema={"format": "date-time"})] = ""
    waiting_on: Annotated[str, doc("What it waits for, in one line.")] = ""
    history: Annotated[History, doc("Where the messages before the current window are.")] = msgspec.field(
        default_factory=History
    )
    messages: Annotated[list[Message], doc("The conversation; of a long one, the current window.")] = []
    mended: Annotated[
        bool,
        doc(
            "Whether what is sent to the model is corrected so that it is accepted; this status has the original."
        ),
    ] = False
    stored_results: Annotated[int, doc("How many tool results were too big to be shown whole.")] = 0
    retry: Annotated[Retry, doc("Requests since the last reply that brought no usable one.")] | None = None
    output: Annotated[str, doc("The final answer.")] = ""
    error: Annotated[str, doc("Why it failed, and what to do next.")] = ""
    turns: Annotated[int, doc("Replies of the model so far.")] = 0
    tokens: Annotated[int, doc("Tokens read and written so far.")] = 0
    usage: Annotated[Usage, doc("Tokens by kind; absent where no provider told any.")] | None = None
    observed_generation: Annotated[int, doc("metadata.generation for which this status was determined.")] = 0
    conditions: Annotated[list[Condition], doc("Succeeded.", schema=CONDITION_LIST)] = []

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED


class TaskRun(Resource, kw_only=True, gc=False):
    """A TaskRun does a Task once and holds the conversation while it does."""

    spec: Annotated[TaskRunSpec, doc("Desired state.")]
    status: Annotated[TaskRunStatus, doc("Observed state.")] = msgspec.field(default_factory=TaskRunStatus)

    @property
    def root(self) -> str:
        """The name of the run at the top of its tree."""
        return self.status.root or self.metadata.name


TASK_RUNS = our_kind(
    TaskRun,
    "taskruns",
    columns=(
        Column("Task", ".spec.task", description="The task being done"),
        Column("Phase", ".status.phase", description="Phase of the run"),
        Column("Age", ".metadata.creationTimestamp", "date", description="Time since it was created"),
        Column("Agent", ".status.agent", wide=True, description="The agent that does it"),
        Column("Turns", ".status.turns", "integer", wide=True, description="Replies of the model so far"),
        Column("Tokens", ".status.tokens", "integer", wide=True, description="Tokens read and written so far"),
        Column(
            "Reason",
            '.status.conditions[?(@.type=="Succeeded")].reason',
            wide=True,
            description="How it ended, or what it is doing, in one word",
        ),
        Column("WaitingOn", ".status.waitingOn", wide=True, description="What it waits for"),
    ),
    selectable=("spec.task", "status.agent", "status.phase"),
)
