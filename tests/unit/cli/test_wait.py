"""`kubechain wait` returns when the claim holds, and says how things stand when it does not in time."""

from __future__ import annotations

import threading

import pytest

from kubechain.cli.exits import CommandError
from kubechain.cli.jsonpath import render, select
from kubechain.cli.wait import claim
from kubechain.resources.json import JsonObject, JsonValue
from tests.unit.cli.recorded import ROOT, RecordedApi, kubechain, listed, taskrun

CONDITIONS: list[JsonValue] = [{"type": "Ready", "status": "False"}, {"type": "Succeeded", "status": "True"}]


@pytest.mark.parametrize(
    ("goal", "holds"),
    [
        ("condition=Succeeded", True),
        ("condition=succeeded=true", True),
        ("condition=Ready", False),
        ("condition=Ready=False", True),
        ("condition=Missing", False),
        ("jsonpath={.status.phase}=FinalAnswer", True),
        ("jsonpath='{.status.phase}'=FinalAnswer", True),
        ("jsonpath={.status.phase}=Running", False),
        ("jsonpath={.status.turns}=2", True),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.output}", False),
    ],
)
def test_a_goal_is_a_claim_about_the_object(goal: str, holds: bool) -> None:
    assert claim(goal)(taskrun("FinalAnswer", turns=2, conditions=CONDITIONS)) is holds


@pytest.mark.parametrize("goal", ["ready", "condition=", "jsonpath"])
def test_a_goal_of_another_form_is_refused(goal: str) -> None:
    with pytest.raises(CommandError, match="use condition=Ready"):
        claim(goal)


def test_it_returns_at_the_change_that_makes_it_true(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell_events(f"{ROOT}/taskruns", {"type": "MODIFIED", "object": taskrun("FinalAnswer")}, hold=done)
    goal = "--for=jsonpath={.status.phase}=FinalAnswer"
    assert kubechain("wait", "taskrun/hello", goal, "--timeout=20s") == 0
    done.set()
    assert capsys.readouterr().out == "taskrun.kubechain.humanlayer.dev/hello condition met\n"
    assert api.requests[-1].query["fieldSelector"] == "metadata.name=hello"


def test_a_wait_that_is_too_long_ends_with_124_and_says_how_things_stand(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell_events(f"{ROOT}/taskruns", hold=done)
    assert kubechain("wait", "taskrun/hello", "--for=condition=Succeeded", "--timeout=200ms") == 124
    done.set()
    assert "on taskruns/hello (now: Running)" in capsys.readouterr().err


def test_waiting_for_an_object_that_is_not_there_fails_at_once(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed())
    assert kubechain("wait", "taskrun/hello", "--for=condition=Ready") == 1
    assert "not found" in capsys.readouterr().err
    assert kubechain("wait", "taskrun/hello", "--for=delete") == 0


def test_all_and_selectors_wait_for_each_object_that_is_there(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun("FinalAnswer")))
    goal = "--for=jsonpath={.status.phase}=FinalAnswer"
    assert kubechain("wait", "taskrun", goal, "-l", "a=b", "--field-selector", "status.agent=x") == 0
    assert capsys.readouterr().out == "taskrun.kubechain.humanlayer.dev/hello condition met\n"
    asked = [r.query for r in api.requests if r.path == f"{ROOT}/taskruns"]
    assert asked[0] == {"labelSelector": "a=b", "fieldSelector": "status.agent=x"}
    assert asked[1] == {"fieldSelector": "metadata.name=hello"}
    assert kubechain("wait", "taskrun", "--all", goal) == 0
    api.tell(f"GET {ROOT}/taskruns", listed())
    assert kubechain("wait", "taskrun", "--all", goal) == 1
    assert "no matching resources found" in capsys.readouterr().err
    assert kubechain("wait", "taskrun", goal) == 1
    assert "or --all for all of them" in capsys.readouterr().err


def test_create_waits_for_the_first_object_of_a_selector(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed())
    api.tell_events(f"{ROOT}/taskruns", {"type": "ADDED", "object": taskrun()}, hold=hold)
    assert kubechain("wait", "taskrun", "-l", "a=b", "--for=create", "--timeout=20s") == 0
    hold.set()
    assert capsys.readouterr().out == "taskrun.kubechain.humanlayer.dev/hello condition met\n"
    api.answers.pop(f"WATCH {ROOT}/taskruns")
    silent = threading.Event()
    api.tell_events(f"{ROOT}/taskruns", hold=silent)
    assert kubechain("wait", "taskrun/hello", "--for=create", "--timeout=200ms") == 124
    silent.set()
    assert "timed out waiting for taskruns/hello to be created" in capsys.readouterr().err


@pytest.mark.parametrize(
    "goal", ["condition=Succeeded", "jsonpath={.status.phase}=FinalAnswer", "jsonpath='{.status.output}'"]
)
def test_it_ends_at_once_when_a_run_has_ended_otherwise(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], goal: str
) -> None:
    hold = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell_events(
        f"{ROOT}/taskruns", {"type": "MODIFIED", "object": taskrun("Failed", error="no key")}, hold=hold
    )
    assert kubechain("wait", "taskrun/hello", f"--for={goal}", "--timeout=20s") == 1
    hold.set()
    assert "taskrun/hello has ended (now: Failed, no key)" in capsys.readouterr().err


def test_a_label_can_still_come_on_a_run_that_has_ended(api: RecordedApi) -> None:
    silent = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun("Failed")))
    api.tell_events(f"{ROOT}/taskruns", hold=silent)
    assert kubechain("wait", "taskrun/hello", "--for=jsonpath={.metadata.labels.a}=b", "--timeout=200ms") == 124
    silent.set()


def test_it_ends_when_the_object_is_deleted(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    hold = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell_events(f"{ROOT}/taskruns", {"type": "DELETED", "object": taskrun()}, hold=hold)
    assert kubechain("wait", "taskrun/hello", "--for=condition=Succeeded", "--timeout=20s") == 1
    hold.set()
    assert '"hello" was deleted before it met condition=Succeeded' in capsys.readouterr().err


def test_one_that_fails_does_not_keep_the_others_from_their_turn(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun("Failed")), listed(taskrun("FinalAnswer")))
    goal = "--for=jsonpath={.status.phase}=FinalAnswer"
    assert kubechain("wait", "taskrun/gone", "taskrun/hello", goal) == 1
    said = capsys.readouterr()
    assert "hello condition met" in said.out
    assert "taskrun/gone has ended" in said.err


TREE: JsonObject = {"a": [{"n": 1}, {"n": 2}], "b": {"x.y": "z"}, "t": True}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("{.a[*].n}", [1, 2]),
        ("{.a[-1].n}", [2]),
        ("{.a[5].n}", []),
        ("{.b['x.y']}", ["z"]),
        (".t", [True]),
        ("{$.t}", [True]),
        ("{.missing.more}", []),
    ],
)
def test_a_path_selects_values(path: str, values: list[JsonValue]) -> None:
    assert select(TREE, path) == values


def test_a_template_is_text_with_values_in_it() -> None:
    assert render(TREE, 'n={.a[*].n}{"\\n"}t={.t}') == "n=1 2\nt=true"


def test_a_path_that_is_not_understood_is_refused() -> None:
    with pytest.raises(CommandError, match="kubectl knows the rest"):
        select(TREE, "{.a[?(@.n==1)]}")
