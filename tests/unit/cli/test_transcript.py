"""A run's conversation reads as one: once, followed, and as the answer of `kubechain run`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kubechain.cli import exits
from kubechain.cli.client import connect
from kubechain.cli.discover import Discovery
from kubechain.cli.following import states
from kubechain.cli.objects import members, text
from kubechain.cli.transcript import Entry, closing, entries, lines
from kubechain.resources.json import JsonObject, JsonValue
from tests.unit.cli.recorded import ROOT, RecordedApi, kubechain, listed, serving, taskrun, write_kubeconfig

CALL: JsonObject = {"id": "call_01", "function": {"name": "echo", "arguments": '{"m":"Hi"}'}}
MESSAGES: list[JsonValue] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Say hi"},
    {"role": "assistant", "toolCalls": [CALL]},
    {"role": "tool", "toolCallId": "call_01", "content": "Echo: Hi"},
    {"role": "assistant", "content": "I said hi."},
]
TOOL_CALL: JsonObject = {
    "metadata": {"creationTimestamp": "2026-01-01T10:00:00Z"},
    "spec": {"toolCallId": "call_01"},
    "status": {"startTime": "2026-01-01T10:00:00Z", "completionTime": "2026-01-01T10:00:02Z"},
}


def ended(name: str = "r-x-1-1", **more: JsonValue) -> JsonObject:
    status: JsonObject = {"phase": "Succeeded", "result": "Echo: Hi"}
    times = TOOL_CALL["status"]
    return TOOL_CALL | {
        "kind": "ToolCall",
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T10:00:00Z"},
        "status": (times if isinstance(times, dict) else {}) | status | more,
    }


def done(**more: JsonValue) -> JsonObject:
    status: JsonObject = {"phase": "FinalAnswer", "messages": MESSAGES, "output": "I said hi.", "turns": 2}
    return taskrun() | {"status": status | more}


def test_calls_and_results_are_told_with_the_tools_name_and_time() -> None:
    said = entries(done(), [TOOL_CALL])
    assert [(e.role, e.words) for e in said] == [
        ("system", "Be kind."),
        ("user", "Say hi"),
        ("assistant", 'calls echo {"m":"Hi"}'),
        ("tool", "echo (2s): Echo: Hi"),
        ("assistant", "I said hi."),
    ]
    assert said[3].time.endswith(":00:02")


def test_long_words_hang_under_their_beginning_and_cannot_steer_the_terminal() -> None:
    first, second = lines(Entry("tool", "one two\x1b[2J", "10:00:00"), width=8)
    assert first == "10:00:00  tool       one"
    assert second == "                     two^[[2J"


def test_a_finished_run_closes_with_phase_time_and_cost() -> None:
    run = done(startTime="2026-01-01T10:00:00Z", completionTime="2026-01-01T10:01:30Z", tokens=70)
    assert closing(run) == "FinalAnswer after 90s, 2 turns, 70 tokens"
    assert closing(taskrun("Running")) == ""
    assert closing(taskrun("Failed", error="no key")) == "Failed: no key"


def test_logs_prints_the_conversation(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.tell(f"GET {ROOT}/taskruns/hello", done())
    api.tell(f"GET {ROOT}/toolcalls", listed(TOOL_CALL, kind="ToolCall"))
    assert kubechain("logs", "taskrun/hello") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[0] for line in out[:2]] == ["system", "user"]
    assert out[-1] == "FinalAnswer, 2 turns"
    assert api.requests[-1].query == {"labelSelector": "kubechain.humanlayer.dev/taskrun=hello"}


def test_a_result_is_shown_before_the_run_holds_it_and_so_is_what_the_run_waits_for(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns/hello", taskrun(messages=MESSAGES[:3], waitingOn="llm:gpt (HTTP 500)"))
    api.tell(f"GET {ROOT}/toolcalls", listed(ended(), kind="ToolCall"))
    assert kubechain("logs", "hello") == 0
    out = capsys.readouterr().out
    assert "tool       echo (2s): Echo: Hi" in out
    assert out.splitlines()[-1].strip() == "... waiting for llm:gpt (HTTP 500)"


def test_a_failed_call_shows_its_error_and_an_id_that_comes_again_its_newest_result() -> None:
    failed = ended(phase="Failed", error="no such file", result="")
    assert entries(taskrun(messages=MESSAGES[:3]), [failed])[-1].words == "echo (2s): Error: no such file"
    again: list[JsonValue] = [*MESSAGES[:4], {"role": "assistant", "toolCalls": [CALL]}]
    first, second = ended("r-x-1-1", result="one"), ended("r-x-10-1", result="two")
    for calls in ([first, second], [second, first]):
        said = entries(taskrun(messages=again), calls)
        assert [e.words for e in said[3:]] == ["echo (2s): Echo: Hi", 'calls echo {"m":"Hi"}', "echo (2s): two"]
        assert len({e.key for e in said}) == len(said)


def test_what_is_piped_is_not_wrapped(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    words = "word " * 100 + "end"
    run = done(messages=[{"role": "user", "content": f"{words}\n  indented"}])
    api.tell(f"GET {ROOT}/taskruns/hello", run)
    api.tell(f"GET {ROOT}/toolcalls", listed(kind="ToolCall"))
    assert kubechain("logs", "hello") == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.endswith(words)
    assert second == " " * 21 + "  indented"


def test_logs_of_something_that_does_not_talk_is_refused(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("logs", "agent/a") == 1
    assert "only a taskrun has a conversation" in capsys.readouterr().err


def test_following_prints_each_message_and_each_result_once_and_ends_with_the_run(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun(messages=MESSAGES[:3])))
    api.tell(f"GET {ROOT}/toolcalls", listed(ended(), kind="ToolCall"))
    api.tell_events(f"{ROOT}/toolcalls", hold=hold)
    middle: JsonObject = {"type": "MODIFIED", "object": taskrun(messages=MESSAGES[:4])}
    api.tell_events(f"{ROOT}/taskruns", middle, middle, {"type": "MODIFIED", "object": done()}, hold=hold)
    assert kubechain("logs", "taskrun/hello", "-f") == 0
    hold.set()
    out = capsys.readouterr().out
    assert [out.count(words) for words in ("Be kind.", "Say hi", "calls echo", "Echo: Hi", "I said hi.")] == [
        1
    ] * 5


def test_following_goes_on_over_a_restart_on_another_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, cut = tmp_path / "kubeconfig", threading.Event()
    with serving() as first:
        first.tell(f"GET {ROOT}/taskruns", listed(taskrun(messages=MESSAGES[:2])))
        first.tell(f"GET {ROOT}/toolcalls", listed(kind="ToolCall"))
        for plural in ("taskruns", "toolcalls"):
            first.tell_events(f"{ROOT}/{plural}", hold=cut)
        write_kubeconfig(kubeconfig, first.url)
        client = connect(str(kubeconfig))
        seen = states(client, Discovery.of(client), "hello")
        assert len(members(next(seen).run, "status.messages")) == 2
    with serving() as second:
        second.tell(f"GET {ROOT}/taskruns", listed(done()))
        second.tell(f"GET {ROOT}/toolcalls", listed(ended(), kind="ToolCall"))
        second.tell_events(f"{ROOT}/toolcalls", hold=threading.Event())
        write_kubeconfig(kubeconfig, second.url)
        cut.set()
        *_, last = seen
    client.close()
    assert (text(last.run, "status.phase"), len(last.calls)) == ("FinalAnswer", 1)
    told = capsys.readouterr().err
    assert told.count("for it to come back") == 1
    assert f"{second.url} answers again" in told


def test_a_run_that_is_deleted_ends_the_following(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    hold = threading.Event()
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    api.tell(f"GET {ROOT}/toolcalls", listed(kind="ToolCall"))
    api.tell_events(f"{ROOT}/toolcalls", hold=hold)
    api.tell_events(f"{ROOT}/taskruns", {"type": "DELETED", "object": taskrun()}, hold=hold)
    assert kubechain("logs", "taskrun/hello", "-f") == 1
    hold.set()
    assert '"hello" was deleted' in capsys.readouterr().err


def started(api: RecordedApi) -> None:
    """Records what the API answers to the creation of a run named `hello`."""
    api.tell(f"GET {ROOT}/agents/my-assistant", {"status": {"ready": True}})
    api.tell(f"POST {ROOT}/tasks", {"metadata": {"name": "hello", "uid": "task-uid"}}, status=201)
    api.tell(f"POST {ROOT}/taskruns", taskrun("Pending"), status=201)
    api.tell(f"GET {ROOT}/toolcalls", listed(kind="ToolCall"))
    api.tell_events(f"{ROOT}/toolcalls", hold=threading.Event())


def test_run_creates_a_task_and_a_run_that_goes_with_it(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    started(api)
    assert kubechain("run", "my-assistant", "Say hi") == 0
    assert capsys.readouterr().out == "taskrun/hello created\n"
    task, run = api.of("POST")
    assert task.body["metadata"] == {"generateName": "my-assistant-"}
    assert task.body["spec"] == {"agent": "my-assistant", "userMessage": "Say hi"}
    assert run.body["spec"] == {"task": "hello"}
    owner = {"apiVersion": "kubechain.humanlayer.dev/v1alpha1", "kind": "Task", "name": "hello", "uid": "task-uid"}
    assert run.body["metadata"] == {"name": "hello", "ownerReferences": [owner]}


def test_run_of_an_agent_that_is_not_there_creates_nothing(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("run", "nobody", "Say hi") == 1
    assert 'agents.kubechain.humanlayer.dev "nobody" not found' in capsys.readouterr().err
    assert api.of("POST") == []


def test_run_with_follow_prints_the_answer_alone_on_stdout(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    started(api)
    waiting = taskrun(messages=MESSAGES[:2], waitingOn="llm:gpt-4o")
    api.tell(f"GET {ROOT}/taskruns", listed(waiting))
    api.tell_events(f"{ROOT}/taskruns", {"type": "MODIFIED", "object": done()})
    assert kubechain("run", "my-assistant", "Say hi", "--follow") == 0
    said = capsys.readouterr()
    assert said.out == "I said hi.\n"
    assert "not ready" not in said.err
    assert "calls echo" in said.err
    assert "llm:gpt-4o" in said.err
    assert "I said hi." not in said.err


def test_a_run_that_fails_is_exit_code_1_with_its_reason(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    started(api)
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun("Failed", error="the key was refused")))
    assert kubechain("run", "my-assistant", "Say hi", "--follow", "--name", "hello") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "taskrun/hello failed: the key was refused; see `kubechain describe taskrun hello`" in said.err
    assert api.of("POST")[0].body["metadata"] == {"name": "hello"}


def test_an_answer_that_was_cut_off_is_printed_and_has_an_exit_code_of_its_own(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    started(api)
    condition: JsonObject = {
        "type": "Succeeded", "status": "True", "reason": "TokenLimit", "message": "Cut off at its token limit.",
    }  # fmt: skip
    api.tell(f"GET {ROOT}/taskruns", listed(done(conditions=[condition])))
    assert kubechain("run", "my-assistant", "Say hi", "--follow", "--name", "hello") == exits.ANSWER_CUT
    said = capsys.readouterr()
    assert said.out == "I said hi.\n"
    assert "FinalAnswer, 2 turns: Cut off at its token limit." in said.err
    assert "taskrun/hello: the answer is not complete: Cut off at its token limit." in said.err


def test_describe_tells_fields_conversation_and_events(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns/hello", done(usage={"inputTokens": 3}))
    api.tell(f"GET {ROOT}/toolcalls", listed(TOOL_CALL, kind="ToolCall"))
    event: JsonObject = {
        "type": "Normal", "reason": "ToolCalled", "message": "called echo",
        "reportingComponent": "kubechain", "eventTime": "2026-01-01T10:00:00.000000Z",
    }  # fmt: skip
    api.tell("GET /api/v1/namespaces/default/events", listed(event, kind="Event"))
    assert kubechain("describe", "taskrun", "hello") == 0
    out = capsys.readouterr().out
    assert out.startswith("Name:         hello\nNamespace:    default\nLabels:       <none>\n")
    assert "API Version:  kubechain.humanlayer.dev/v1alpha1\n" in out
    assert "  Usage:\n    Input Tokens:  3\n" in out
    assert "Conversation:\n" in out
    assert out.count("Echo: Hi") == 1
    assert out.splitlines()[-3].split() == ["Type", "Reason", "Age", "From", "Message"]
    assert out.splitlines()[-1].endswith("kubechain   called echo")
    assert api.requests[-1].query == {"fieldSelector": "involvedObject.uid=u1"}
