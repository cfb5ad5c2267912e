"""What is due for a run: the pure, total decision behind the TaskRun controller. No I/O, no clock, no await."""

from __future__ import annotations

from kubechain.agents.run import calls
from kubechain.agents.run.gates import GATES
from kubechain.agents.run.history import mended
from kubechain.agents.run.scene import Ask, Scene, Step
from kubechain.agents.run.transcript import opening, result_message


def next_step(scene: Scene) -> Step:
    """The one thing to do next: what the first gate that has an answer says; when none has, the model is asked."""
    for gate in GATES:
        if (step := gate(scene)) is not None:
            return step
    return _ask(scene)


def _ask(scene: Scene) -> Ask:
    run, task, agent, llm = scene.run, scene.task, scene.agent, scene.llm
    if task is None or agent is None or llm is None:
        raise AssertionError("a gate waits for what is missing")
    if run.status.turns == 0:
        said = opening(run, task, agent)
        mend = run.status.mended or said != mended(said)
        return Ask(llm, agent, agent.status.tools, said, run.status.stored_results, mend)
    done = [scene.calls[name] for name in calls.names(run)]
    results = [result_message(request, call) for request, call in zip(calls.requested(run), done, strict=True)]
    stored = run.status.stored_results + sum(call.status.stored is not None for call in done)
    return Ask(llm, agent, agent.status.tools, results, stored, run.status.mended)
