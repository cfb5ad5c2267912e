"""`kubechain settle` and `kubechain reload` write one thing each, to one object or to several."""

from __future__ import annotations

import pytest

from kubechain.resources.json import JsonObject, JsonValue
from tests.unit.cli.recorded import GROUP, ROOT, RecordedApi, discovery, kubechain, listed

CALLS = f"{ROOT}/toolcalls"


def call(name: str, phase: str) -> JsonObject:
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ToolCall",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "3"},
        "status": {"phase": phase},
    }


def there(api: RecordedApi, **phases: str) -> None:
    """Records calls, and the answers to their settling."""
    calls = [call(name, phase) for name, phase in phases.items()]
    api.tell(f"GET {CALLS}", listed(*calls, kind="ToolCall"))
    for one, name in zip(calls, phases, strict=True):
        api.tell(f"GET {CALLS}/{name}", one)
        api.tell(f"PATCH {CALLS}/{name}/status", call(name, "Succeeded"))


def test_several_calls_are_settled_and_one_that_cannot_be_does_not_stop_the_others(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    there(api, a="Running", b="Succeeded", c="OutcomeUnknown")
    names = ["toolcall/a", "toolcall.kubechain.humanlayer.dev/b", "c"]
    assert kubechain("settle", *names, "--result", "done") == 1
    said = capsys.readouterr()
    assert said.out == "toolcall/a is Succeeded\ntoolcall/c is Succeeded\n"
    assert (
        "toolcall/b is Succeeded: only a call that is Running, AwaitingSubAgent or OutcomeUnknown can be settled"
        in said.err
    )
    written = {r.path: r.body for r in api.of("PATCH")}
    assert written[f"{CALLS}/a/status"] == {
        "metadata": {"resourceVersion": "3"},
        "status": {"phase": "Succeeded", "result": "done", "error": None, "waitingOn": None},
    }


@pytest.mark.parametrize("words", [["--all"], ["-l", "a=b"], ["--field-selector", "spec.taskRun=r"]])
def test_a_selection_settles_only_calls_whose_outcome_is_unknown(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    there(api, external="Running", lost="OutcomeUnknown")
    assert kubechain("settle", *words, "--repeat") == 0
    assert [r.path for r in api.of("PATCH")] == [f"{CALLS}/lost/status"]
    there(api, external="Running")
    assert kubechain("settle", *words, "--repeat") == 1
    assert "no call with an unknown outcome matches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [(["toolcall/a"], 1), (["--result=x"], 2), (["toolcall/a", "--all", "--repeat"], 2)],
)
def test_what_to_settle_and_how_must_be_clear(api: RecordedApi, words: list[str], code: int) -> None:
    there(api, a="Running")
    assert kubechain("settle", *words) == code
    assert api.of("PATCH") == []


def test_an_external_call_is_not_repeated(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    there(api, a="Running")
    assert kubechain("settle", "toolcall/a", "--repeat") == 1
    assert "only a call whose outcome is unknown can be repeated" in capsys.readouterr().err


def with_tools(api: RecordedApi) -> None:
    none: list[JsonValue] = []
    resources = (("tools", "Tool", none), ("mcpservers", "MCPServer", none), ("agents", "Agent", none))
    api.tell("GET /apis", discovery(GROUP, *resources))
    for plural, kind, name in (("tools", "Tool", "dice"), ("mcpservers", "MCPServer", "sample")):
        found: JsonObject = {"metadata": {"name": name, "namespace": "default"}}
        api.tell(f"GET {ROOT}/{plural}", listed(found, kind=kind))
        api.tell(f"PATCH {ROOT}/{plural}/{name}", found)


def test_reload_marks_every_tool_and_server_or_those_that_are_named(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    with_tools(api)
    assert kubechain("reload") == 0
    assert capsys.readouterr().out == (
        "tool.kubechain.humanlayer.dev/dice reloading\nmcpserver.kubechain.humanlayer.dev/sample reloading\n"
    )
    api.requests.clear()
    assert kubechain("reload", "tool/dice") == 0
    (patch,) = api.of("PATCH")
    assert patch.path == f"{ROOT}/tools/dice"
    assert "kubechain.humanlayer.dev/reload" in str(patch.body["metadata"])
    assert kubechain("reload", "agent/a") == 1
    assert "agent cannot be reloaded: name a tool or an mcpserver" in capsys.readouterr().err
