"""`kubechain get` prints what kubectl prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubechain.resources.json import JsonObject, JsonValue
from tests.unit.cli.recorded import GROUP, ROOT, RecordedApi, kubechain, listed, taskrun

LLM_COLUMNS: list[JsonValue] = [
    {"name": "Name", "type": "string", "priority": 0},
    {"name": "Provider", "type": "string", "priority": 0},
    {"name": "Ready", "type": "boolean", "priority": 0},
    {"name": "Status", "type": "string", "priority": 0},
    {"name": "Detail", "type": "string", "priority": 1},
]


def table(columns: list[JsonValue], *rows: list[JsonValue]) -> JsonObject:
    return {
        "kind": "Table",
        "metadata": {"resourceVersion": "7"},
        "columnDefinitions": columns,
        "rows": [
            {"cells": cells, "object": {"metadata": {"name": cells[0], "namespace": "default"}}} for cells in rows
        ],
    }


GPT: list[JsonValue] = ["gpt-4o", "openai", True, "Ready", "OpenAI API key validated successfully"]


def test_a_list_is_printed_in_the_columns_and_padding_of_the_readme(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS, GPT))
    assert kubechain("get", "llm") == 0
    assert capsys.readouterr().out == (
        "NAME     PROVIDER   READY   STATUS\n"  # as in the README
        "gpt-4o   openai     true    Ready\n"
    )


def test_wide_shows_the_columns_of_lower_priority_too(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS, GPT))
    assert kubechain("get", "llms", "-o", "wide") == 0
    assert capsys.readouterr().out == (
        "NAME     PROVIDER   READY   STATUS   DETAIL\n"
        "gpt-4o   openai     true    Ready    OpenAI API key validated successfully\n"
    )


def test_every_namespace_comes_with_a_column_that_names_it(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell("GET /apis/kubechain.humanlayer.dev/v1alpha1/llms", table(LLM_COLUMNS, GPT))
    assert kubechain("get", "llm", "-A", "--no-headers") == 0
    assert capsys.readouterr().out == "default   gpt-4o   openai   true   Ready\n"


def test_a_missing_value_is_blank_and_a_text_of_several_lines_is_cut(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS, ["a\x1b[31m", "two\nlines", None, "x"]))
    assert kubechain("get", "llm", "--no-headers") == 0
    assert capsys.readouterr().out == "a^[[31m   two...         x\n"


def test_several_kinds_are_printed_one_after_the_other_with_names_that_say_their_kind(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS, GPT))
    api.tell(f"GET {ROOT}/agents", table(LLM_COLUMNS[:1], ["my-assistant"]))
    assert kubechain("get", "llm,agent") == 0
    assert capsys.readouterr().out == (
        "NAME                                  PROVIDER   READY   STATUS\n"
        "llm.kubechain.humanlayer.dev/gpt-4o   openai     true    Ready\n"
        "\n"
        "NAME\n"
        "agent.kubechain.humanlayer.dev/my-assistant\n"
    )


def test_an_empty_list_says_so_on_stderr(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS))
    assert kubechain("get", "llm") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "No resources found in default namespace.\n")


def test_a_missing_object_is_told_in_kubectls_words_with_exit_code_1(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("get", "llm", "nope") == 1
    assert capsys.readouterr().err == (
        'Error from server (NotFound): llms.kubechain.humanlayer.dev "nope" not found\n'
    )


def test_a_type_that_does_not_exist_is_answered_with_the_nearest_one(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubechain("get", "taskrnu") == 1
    assert "did you mean taskrun?" in capsys.readouterr().err


def test_json_is_sorted_indented_and_without_managed_fields(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run = taskrun(output="a < b")
    run["metadata"] = {"name": "hello", "managedFields": [{"manager": "x"}]}
    api.tell(f"GET {ROOT}/taskruns/hello", run)
    assert kubechain("get", "taskrun/hello", "-o", "json") == 0
    out = capsys.readouterr().out
    assert out.startswith('{\n    "apiVersion": "kubechain.humanlayer.dev/v1alpha1",\n    "kind": "TaskRun",')
    assert "managedFields" not in out
    assert "a \\u003c b" in out
    assert json.loads(out)["status"]["output"] == "a < b"


def test_yaml_reads_as_the_readmes_sample_does(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    call: JsonObject = {"id": "call_01", "type": "function"}
    call["function"] = {"name": "simple-echo-tool", "arguments": '{"message":"Hello, World!"}'}
    messages: list[JsonValue] = [
        {"role": "system", "content": "One.\nTwo.\n"},
        {"role": "assistant", "toolCalls": [call]},
        {"role": "tool", "content": "Echo: Hello, World!", "toolCallId": "call_01"},
    ]
    run = taskrun("FinalAnswer", messages=messages, startTime="2023-10-20T14:30:30Z")
    del run["metadata"]
    api.tell(f"GET {ROOT}/taskruns/hello", run)
    assert kubechain("get", "taskrun", "hello", "-o", "yaml") == 0
    assert capsys.readouterr().out == (
        "apiVersion: kubechain.humanlayer.dev/v1alpha1\n"
        "kind: TaskRun\n"
        "spec:\n"
        "  task: hello-task\n"
        "status:\n"
        "  messages:\n"
        "  - content: |\n"
        "      One.\n"
        "      Two.\n"
        "    role: system\n"
        "  - role: assistant\n"
        "    toolCalls:\n"
        "    - function:\n"
        '        arguments: \'{"message":"Hello, World!"}\'\n'
        "        name: simple-echo-tool\n"
        "      id: call_01\n"
        "      type: function\n"
        "  - content: 'Echo: Hello, World!'\n"
        "    role: tool\n"
        "    toolCallId: call_01\n"
        "  phase: FinalAnswer\n"
        '  startTime: "2023-10-20T14:30:30Z"\n'
    )


def test_names_and_single_fields_are_printed_for_scripts(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed(taskrun()))
    assert kubechain("get", "taskruns", "-o", "name") == 0
    assert kubechain("get", "taskruns", "-o", 'jsonpath={.items[*].status.phase}{"\\n"}') == 0
    assert capsys.readouterr().out == "taskrun.kubechain.humanlayer.dev/hello\nRunning\n"


def test_a_watch_keeps_its_rows_under_the_headers_and_goes_on_over_a_cut(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = LLM_COLUMNS[:2]
    api.tell(f"GET {ROOT}/llms", table(columns, ["gpt-4o", "openai"]))

    def row(version: str, *cells: JsonValue) -> JsonObject:
        one: JsonObject = {"cells": [*cells], "object": {"metadata": {"resourceVersion": version}}}
        return {"type": "MODIFIED", "object": {"kind": "Table", "columnDefinitions": None, "rows": [one]}}

    api.tell_events(f"{ROOT}/llms", row("8", "gpt-4o", "azure"))
    api.tell_events(f"{ROOT}/llms", row("9", "x", "openai\x85"))
    api.tell_events(
        f"{ROOT}/llms", {"type": "ERROR", "object": {"kind": "Status", "reason": "Expired", "code": 410}}
    )
    assert kubechain("get", "llm", "-w") == 1  # this server expires, so that the command ends
    assert capsys.readouterr().out == (
        "NAME     PROVIDER\ngpt-4o   openai\ngpt-4o   azure\nx        openai\\x85\n"
    )
    watches = [r.query["resourceVersion"] for r in api.requests if "watch" in r.query]
    assert watches == ["7", "8", "9"]


def test_labels_select(api: RecordedApi) -> None:
    api.tell(f"GET {ROOT}/llms", table(LLM_COLUMNS, GPT))
    assert kubechain("get", "llm", "-l", "team=a") == 0
    assert api.requests[-1].query == {"labelSelector": "team=a"}


def run_named(name: str, **status: JsonValue) -> JsonObject:
    return taskrun() | {"status": status, "metadata": {"name": name, "namespace": "default"}}


def test_custom_columns_print_the_fields_that_are_named(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed(run_named("a", output="Hello."), run_named("long-name")))
    assert kubechain("get", "taskrun", "-o", "custom-columns=NAME:.metadata.name,ANSWER:{.status.output}") == 0
    assert capsys.readouterr().out == "NAME        ANSWER\na           Hello.\nlong-name   <none>\n"
    assert kubechain("get", "taskrun", "-o", "custom-columns=NAME") == 1
    assert "write NAME:.metadata.name" in capsys.readouterr().err


def test_objects_come_in_the_order_of_a_field(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    found = (run_named("run-x"), run_named("run-10", turns=3), run_named("run-9", turns=12), run_named("run-1"))
    api.tell(f"GET {ROOT}/taskruns", listed(*found))
    assert kubechain("get", "taskrun", "-o", "name", "--sort-by", ".metadata.name") == 0
    by_name = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    assert kubechain("get", "taskrun", "-o", "name", "--sort-by={.status.turns}") == 0
    by_turns = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    assert (by_name, by_turns) == (
        ["run-1", "run-9", "run-10", "run-x"],
        ["run-x", "run-1", "run-10", "run-9"],
    )
    assert kubechain("get", "taskrun", "-o", "name", "--sort-by={.nope}") == 1
    assert "no object has a field {.nope}" in capsys.readouterr().err


def test_fields_select_and_do_not_go_with_names(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.tell(f"GET {ROOT}/taskruns", listed())
    assert kubechain("get", "taskrun", "--field-selector", "status.phase=Failed") == 0
    assert api.requests[-1].query == {"fieldSelector": "status.phase=Failed"}
    assert kubechain("get", "taskrun", "hello", "--field-selector", "status.phase=Failed") == 1
    assert "go with a TYPE and no names" in capsys.readouterr().err


def test_manifests_name_the_objects_to_get(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "deeper").mkdir()
    document = f"apiVersion: {GROUP}/v1alpha1\nkind: TaskRun\nmetadata: {{name: hello}}\n"
    (tmp_path / "deeper" / "run.yaml").write_text(document)
    api.tell(f"GET {ROOT}/taskruns/hello", taskrun())
    assert kubechain("get", "-f", str(tmp_path), "-o", "name") == 1
    assert "add -R, or name one of the subfolders" in capsys.readouterr().err
    assert kubechain("get", "-R", "-f", str(tmp_path), "-o", "name") == 0
    assert capsys.readouterr().out == "taskrun.kubechain.humanlayer.dev/hello\n"
