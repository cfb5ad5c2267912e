"""What is due for a run: the pure, total decision behind the TaskRun controller. No I/O, no clock, no await.

It is an ordered list of small gates, `GATES`; the first one with an answer decides. To add a reason to stop or to
do something else, add one function and one line in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from kubechain.agents.run import transcript
from kubechain.agents.run.scene import Ask, CreateCalls, Fail, Idle, Scene, Step, Wait
from kubechain.agents.run.transcript import mended, opening, result_message
from kubechain.agents.run.window import INVALID, problem
from kubechain.resources.model import settled
from kubechain.resources.toolcall import ToolCall

Gate: TypeAlias = Callable[[Scene], Step | None]
OUTCOME_UNKNOWN = "OutcomeUnknown"
TOOL_CALLS_REQUESTED = "ToolCallsRequested"
CALL_ENDED = "CallEnded"


def deleted(scene: Scene) -> Step | None:
    """A run that is being deleted is left alone."""
    return Idle() if scene.run.metadata.deletion_timestamp is not None else None


def finished(scene: Scene) -> Step | None:
    """A finished run is left as it is."""
    return Idle() if scene.run.status.finished else None


def call_over(scene: Scene) -> Step | None:
    """A sub-agent works for a call: where that is over, its answer has no reader."""
    if not scene.called:
        return None
    caller = scene.caller
    if caller is None:
        return Wait("the ToolCall that it answers (not found; it was deleted, or is not known yet)")
    if caller.status.finished:
        return Fail(CALL_ENDED, f"ToolCall {caller.metadata.name}, which this run was to answer, is over")
    return None


def calls_missing(scene: Scene) -> Step | None:
    """Every call of the last reply gets its ToolCall, even if the task or the agent was deleted meanwhile."""
    missing = transcript.due(scene.run, scene.agent, scene.calls)
    return CreateCalls(missing) if missing else None


def calls_open(scene: Scene) -> Step | None:
    """Every expected call has a result before the model is asked again."""
    unfinished = [call for name in transcript.names(scene.run) if not (call := scene.calls[name]).status.finished]
    if not unfinished:
        return None
    unknown = [call for call in unfinished if call.status.phase == OUTCOME_UNKNOWN]
    if unknown:
        return Wait(_on_unknown(unknown, unfinished), OUTCOME_UNKNOWN)
    origins = {call.spec.tool: call.spec.origin for call in scene.calls.values() if call.spec.origin is not None}
    return Wait(transcript.at_work(transcript.requested(scene.run), origins), TOOL_CALLS_REQUESTED)


def task_missing(scene: Scene) -> Step | None:
    name = scene.run.spec.task
    if not name or scene.task is not None:
        return None
    return Wait(f'task:{name} (not found; create Task "{name}")')


def task_unfit(scene: Scene) -> Step | None:
    """A run does not start with a conversation that no model server would accept."""
    task = scene.task
    if task is None or task.spec.context_window is None or scene.run.status.turns:
        return None
    wrong = problem(task.spec.context_window)
    return Fail(INVALID, f'Task "{task.metadata.name}": {wrong}') if wrong else None


def agent_not_ready(scene: Scene) -> Step | None:
    agent, task = scene.agent, scene.task
    if agent is None:
        name = task.spec.agent if task else scene.run.spec.agent
        return Wait(f'agent:{name} (not found; create Agent "{name}")')
    if not settled(agent.status, agent.metadata.generation):
        return Wait(f"agent:{agent.metadata.name} ({agent.status.status_detail or 'not ready yet'})")
    return None


def llm_not_ready(scene: Scene) -> Step | None:
    llm, agent = scene.llm, scene.agent
    if llm is None:
        return Wait(f"llm:{agent.spec.llm_ref.name if agent else ''} (not found)")
    if not settled(llm.status, llm.metadata.generation):
        return Wait(f"llm:{llm.metadata.name} ({llm.status.status_detail or 'not ready yet'})")
    return None


GATES: tuple[Gate, ...] = (
    deleted,
    finished,
    call_over,
    calls_missing,
    calls_open,
    task_missing,
    task_unfit,
    agent_not_ready,
    llm_not_ready,
)


def _on_unknown(unknown: Sequence[ToolCall], unfinished: Sequence[ToolCall]) -> str:
    """The step while calls wait for a person."""
    first = [f"tool:{call.spec.tool} (outcome unknown: see toolcall {call.metadata.name})" for call in unknown]
    rest = [f"tool:{call.spec.tool}" for call in unfinished if call.status.phase != OUTCOME_UNKNOWN]
    return ", ".join([*first, *rest])


def next_step(scene: Scene) -> Step:
    """The one thing to do next: the answer of the first gate that has one. If none has, ask the model."""
    for gate in GATES:
        if (step := gate(scene)) is not None:
            return step
    return _ask(scene)


def _ask(scene: Scene) -> Ask:
    run, task, agent, llm = scene.run, scene.task, scene.agent, scene.llm
    if agent is None or llm is None:
        raise AssertionError("a gate waits for what is missing")
    if run.status.turns == 0:
        said = opening(run, task, agent)
        mend = run.status.mended or said != mended(said)
        return Ask(llm, agent, agent.status.tools, said, run.status.stored_results, mend)
    done = [scene.calls[name] for name in transcript.names(run)]
    asked = zip(transcript.requested(run), done, strict=True)
    results = [result_message(request, call) for request, call in asked]
    stored = run.status.stored_results + sum(call.status.stored is not None for call in done)
    return Ask(llm, agent, agent.status.tools, results, stored, run.status.mended)
