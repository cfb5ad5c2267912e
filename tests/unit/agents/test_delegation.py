"""Agents that call agents, as tables: who may call whom, what is said where not, and what a child came to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubechain.agents.delegation import reach
from kubechain.agents.delegation.answer import answer_of, failure_of
from kubechain.agents.delegation.offer import message_of, told_of
from kubechain.agents.delegation.reach import Level
from kubechain.agents.naming import MAX_LABEL, MAX_OBJECT_NAME, label_value, sub_run_name
from kubechain.agents.run.scene import Ask, Fail, Wait
from kubechain.agents.run.step import next_step
from kubechain.agents.toolbox import Surroundings, assessment, resolved_tools
from kubechain.resources.agent import SubAgent
from kubechain.resources.model import Condition
from kubechain.resources.run_limits import Limits
from kubechain.resources.taskrun import TaskRun, TaskRunSpec
from tests.unit.agents.scenes import agent, call, llm, meta, run, scene


def level(name: str, depth: int | None = None, fan_out: int | None = None) -> Level:
    return Level(f"run-of-{name}", name, [Limits(sub_agent_depth=depth, sub_agent_fan_out=fan_out)])


@pytest.mark.parametrize(
    ("above", "blamed"),
    [
        ([level("a")], ""),
        ([level(name) for name in "edcba"], ""),
        ([level(name) for name in "fedcba"], "5 levels deep below TaskRun run-of-a, and this one would be 6 deep"),
        ([level("a", 0)], "no level deep below TaskRun run-of-a, and this one would be 1 deep"),
        ([level("b"), level("a", 1)], "1 level deep below TaskRun run-of-a, and this one would be 2 deep"),
        ([level("b", 1), level("a", 9)], ""),
        ([level(name, 9) for name in "fedcba"], ""),
    ],
)
def test_each_run_bounds_what_is_below_it(above: list[Level], blamed: str) -> None:
    said = reach.too_deep(above)
    assert (said is None) == (blamed == "")
    assert blamed in (said or "")


def test_the_strictest_of_all_stated_limits_applies() -> None:
    stated = [Limits(sub_agent_depth=3), Limits(sub_agent_depth=1), Limits()]
    assert reach.too_deep([Level("r", "a", stated)]) is None
    assert reach.too_deep([Level("s", "b"), Level("r", "a", stated)]) is not None
    assert reach.strictest((None, None), 5) == 5


@pytest.mark.parametrize(
    ("limit", "place", "told"),
    [
        (None, 20, ""),
        (None, 21, "one reply may call 20 sub-agents (limits.subAgentFanOut), and this is call 21; call it again"),
        (1, 2, "one reply may call 1 sub-agent (limits.subAgentFanOut), and this is call 2; call it again"),
        (0, 1, "one reply may call 0 sub-agents (limits.subAgentFanOut), and this is call 1; do it without"),
    ],
)
def test_one_reply_calls_so_many_sub_agents(limit: int | None, place: int, told: str) -> None:
    said = reach.too_wide([Limits(sub_agent_fan_out=limit)], place)
    assert (said is None) == (told == "")
    assert told in (said or "")


def test_an_agent_that_waits_for_the_call_is_not_called_by_it() -> None:
    above = [level("c"), level("b"), level("a")]
    assert reach.comes_back("d", above) is None
    assert "(b -> c -> b)" in (reach.comes_back("b", above) or "")
    assert "(c -> c)" in (reach.comes_back("c", above) or "")


@pytest.mark.parametrize(
    ("calls", "way"),
    [
        ({}, []),
        ({"a": "bc", "b": "d", "c": "d"}, []),
        ({"a": "a"}, ["a", "a"]),
        ({"a": "b", "b": "c", "c": "a"}, ["a", "b", "c", "a"]),
        ({"a": "bd", "b": "c", "c": "a", "d": "a"}, ["a", "d", "a"]),
        ({"a": "b", "b": "c", "c": "b"}, []),
    ],
)
def test_the_way_back_to_an_agent_is_the_shortest(calls: dict[str, str], way: list[str]) -> None:
    assert reach.cycle("a", lambda name: calls.get(name, "")) == way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (b'{"message": "go"}', "go"),
        (b'{"message": "go", "more": 1}', "go"),
        (b'{"message": ""}', None),
        (b'{"message": 1}', None),
        (b"{}", None),
        (b"no", None),
    ],
)
def test_a_sub_agent_is_asked_a_text(arguments: bytes, message: str | None) -> None:
    assert message_of(arguments) == message


def test_what_a_model_is_told_of_a_sub_agent_is_what_the_caller_says_then_what_it_says_itself() -> None:
    helper = agent()
    assert told_of(helper, "helper") == "Asks the agent helper, and returns its answer."
    helper.spec.description = "Helps."
    assert told_of(helper, "helper") == "Helps."
    assert told_of(helper, "helper", "Mine.") == "Mine."


def child(phase: str, reason: str = "", message: str = "", output: str = "", error: str = "") -> TaskRun:
    made = run(phase=phase)
    condition = Condition(
        type="Succeeded",
        status="True",
        reason=reason,
        message=message,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    return replace(made, status=replace(made.status, output=output, error=error, conditions=[condition]))


def test_the_answer_of_a_child_is_the_result_and_says_where_it_was_cut_off() -> None:
    assert answer_of(child("FinalAnswer", "FinalAnswer", "Answered after 1 turn.", "yes")) == "yes"
    assert answer_of(child("FinalAnswer", "AnswerCutOff", "cut off", "ye")) == "ye\n[cut off]"


def test_the_failure_of_a_child_is_its_reason_and_its_sentence() -> None:
    failed = child("Failed", "Unauthorized", error="the key was refused")
    assert failure_of(failed, "clerk") == "agent clerk failed (TaskRun r): Unauthorized: the key was refused"


def test_names_of_children_and_labels_fit_whatever_the_agent_is_called() -> None:
    name = sub_run_name("a" * 80, "uid")
    assert len(name) == MAX_OBJECT_NAME
    assert name == sub_run_name("a" * 80, "uid") != sub_run_name("a" * 80, "uid-2")
    assert label_value("short") == "short"
    long = [label_value("r" * 100 + end) for end in ("a", "b")]
    assert [len(value) for value in long] == [MAX_LABEL, MAX_LABEL]
    assert long[0] != long[1]


def test_sub_agents_are_tools_that_come_before_offered_ones_and_are_waited_for() -> None:
    boss, clerk = agent(), agent(ready=False)
    boss.spec.sub_agents = [SubAgent(name="clerk"), SubAgent(name="cook", as_="cook_it", description="Cooks.")]
    around = Surroundings(llm(), agents={"clerk": clerk})
    assert resolved_tools(boss, around) == []
    assert assessment(boss, around).detail == 'Agent "clerk" is not ready: not checked yet'
    clerk.status.ready = True
    assert assessment(boss, around).detail == 'Agent "cook" not found'
    both = Surroundings(llm(), agents={"clerk": clerk, "cook": clerk})
    assert assessment(boss, both).status == "Ready"
    told = [(t.name, t.description, t.origin.kind, t.origin.agent) for t in resolved_tools(boss, both)]
    assert told == [
        ("delegate_to_clerk", "Asks the agent clerk, and returns its answer.", "Agent", "clerk"),
        ("cook_it", "Cooks.", "Agent", "cook"),
    ]


def asked_run() -> TaskRun:
    return TaskRun(metadata=meta("r"), spec=TaskRunSpec(agent="helper", user_message="Hello?"))


def test_a_run_without_a_task_asks_its_agent() -> None:
    step = next_step(scene(asked_run(), task=None))
    assert isinstance(step, Ask)
    assert [message.content for message in step.unsaved] == ["Be kind.", "Hello?"]
    assert next_step(scene(asked_run(), task=None, agent=None)) == Wait(
        'agent:helper (not found; create Agent "helper")'
    )


def test_a_child_works_as_long_as_its_call_is_open() -> None:
    waiting = next_step(scene(asked_run(), task=None, called=True))
    assert isinstance(waiting, Wait)
    at_work = next_step(scene(asked_run(), task=None, called=True, caller=call("c", "AwaitingSubAgent")))
    assert isinstance(at_work, Ask)
    over = next_step(scene(asked_run(), task=None, called=True, caller=call("c", "Succeeded")))
    assert over == Fail("CallEnded", "ToolCall c, which this run was to answer, is over")
