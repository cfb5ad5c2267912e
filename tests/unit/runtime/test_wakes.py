"""Which keys a change of another object wakes."""

from __future__ import annotations

import pytest

from kubechain.resources.task import TASKS, Task
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Key
from kubechain.runtime.informer import Informer
from kubechain.runtime.wakes import Wake, local, owned, referred
from tests.unit.runtime.world import MemoryApi, call, run, task


@pytest.fixture
def runs() -> Informer[TaskRun]:
    return Informer(MemoryApi(), TASK_RUNS)


@pytest.fixture
def tasks() -> Informer[Task]:
    return Informer(MemoryApi(), TASKS)


@pytest.fixture
def children(runs: Informer[TaskRun]) -> Wake[ToolCall]:
    for name in ("a", "b", "r"):
        runs.put(run(name, version=1))
    return owned(Informer(MemoryApi(), TOOL_CALLS), runs)


def test_a_child_wakes_its_owner_whether_it_comes_changes_or_goes(children: Wake[ToolCall]) -> None:
    child = call("c", run("r"))
    for old, new in ((None, child), (child, child), (child, None)):
        assert list(children.keys(old, new)) == [Key("default", "r")]


def test_a_child_that_changes_hands_wakes_both_owners(children: Wake[ToolCall]) -> None:
    assert set(children.keys(call("c", run("a")), call("c", run("b")))) == {
        Key("default", "a"),
        Key("default", "b"),
    }


def test_a_child_of_a_run_that_was_replaced_does_not_wake_the_one_that_took_its_name(
    runs: Informer[TaskRun], children: Wake[ToolCall]
) -> None:
    child = call("c", run("r"))
    replaced = run("r", version=2)
    replaced.metadata.uid = "another"
    runs.put(replaced)
    assert list(children.keys(child, None)) == []


def test_a_child_of_a_run_not_seen_yet_wakes_nobody(children: Wake[ToolCall]) -> None:
    assert list(children.keys(None, call("c", run("unseen")))) == []


def test_an_owner_of_another_kind_or_one_that_does_not_control_is_not_woken(
    tasks: Informer[Task], children: Wake[ToolCall]
) -> None:
    foreign, loose = call("c", run("r")), call("c", run("r"))
    foreign.metadata.owner_references[0].api_version = "apps/v1"
    loose.metadata.owner_references[0].controller = False
    assert list(children.keys(None, foreign)) == []
    assert list(children.keys(None, loose)) == []
    assert list(owned(children.informer, tasks).keys(None, call("c", run("r")))) == []


def test_a_change_wakes_those_that_refer_to_it(runs: Informer[TaskRun], tasks: Informer[Task]) -> None:
    runs.index("task", lambda r: local(r, [r.spec.task]))
    for name, of in (("a", "t"), ("b", "t"), ("c", "other")):
        runs.put(run(name, of, version=1))
    wake = referred(tasks, runs, "task")
    assert list(wake.keys(None, task("t"))) == [Key("default", "a"), Key("default", "b")]
    assert list(wake.keys(task("t"), None)) == [Key("default", "a"), Key("default", "b")]
    assert list(wake.keys(None, task("nobodys"))) == []


def test_a_wake_through_an_index_nobody_declared_fails_when_it_is_wired(
    runs: Informer[TaskRun], tasks: Informer[Task]
) -> None:
    with pytest.raises(KeyError):
        referred(tasks, runs, "task")
