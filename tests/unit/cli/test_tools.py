"""`kubechain tools`, `mcp` and `artifacts`: what they show, create and print."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
import yaml

from kubechain.resources.json import JsonObject
from kubechain.resources.mcpserver import MCPServerSpec
from kubechain.resources.tool import KINDS, ToolSpec
from tests.unit.cli.recorded import GROUP, ROOT, RecordedApi, kubechain, listed

ADD: JsonObject = {
    "metadata": {"name": "add", "namespace": "default"},
    "spec": {"effect": "ReadOnly"},
    "status": {
        "ready": True,
        "type": "function",
        "description": "Adds two numbers.\nExactly.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "The first."}, "how": {"enum": ["up", "down"]}},
            "required": ["a", "how"],
        },
    },
}
BROKEN: JsonObject = {
    "metadata": {"name": "broken", "namespace": "default"},
    "spec": {},
    "status": {"ready": False, "statusDetail": "no module named shop"},
}
GIT: JsonObject = {
    "metadata": {"name": "git", "namespace": "default"},
    "spec": {},
    "status": {"ready": True, "tools": [{"name": "log", "description": "Shows commits.", "effect": "ReadOnly"}]},
}


def there(api: RecordedApi) -> None:
    api.tell(f"GET {ROOT}/tools", listed(ADD, BROKEN, kind="Tool"))
    api.tell(f"GET {ROOT}/mcpservers", listed(GIT, kind="MCPServer"))


def test_every_tool_has_a_line_and_one_that_cannot_be_used_says_why(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    there(api)
    assert kubechain("tools", "list") == 0
    lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["NAME", "KIND", "EFFECT", "READY", "DESCRIPTION"],
        ["add", "function", "ReadOnly", "true", "Adds two numbers."],
        ["broken", "-", "-", "false", "no module named shop"],
        ["git/log", "mcp", "ReadOnly", "true", "Shows commits."],
    ]


def test_a_tool_is_described_with_its_parameters_and_a_call_that_fits_them(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    there(api)
    assert kubechain("tools", "describe", "add") == 0
    said = capsys.readouterr().out
    assert "Tool add (function)" in said
    assert "up|down" in said and "The first." in said
    assert """kubechain tools try add --args '{"a": 1, "how": "up"}'""" in said


def test_a_name_that_is_no_tool_is_refused_with_those_there_are(
    api: RecordedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    there(api)
    assert kubechain("tools", "describe", "substract") == 1
    assert "its tools are add, git/log" in capsys.readouterr().err
    assert kubechain("tools", "try", "broken") == 1
    assert "broken offers no tool: no module named shop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "status", "code", "out", "err"),
    [
        ("git__log", {"phase": "Succeeded", "result": "one\ntwo"}, 0, "one\ntwo\n", ""),
        ("add", {"phase": "Failed", "error": "n: wrong"}, 1, "", "n: wrong"),
        ("git/log", {"phase": "OutcomeUnknown", "error": "it was interrupted"}, 1, "", "it was interrupted"),
    ],
)
def test_trying_makes_a_call_without_a_run_prints_what_became_of_it_and_deletes_it(
    api: RecordedApi,
    capsys: pytest.CaptureFixture[str],
    name: str,
    status: JsonObject,
    code: int,
    out: str,
    err: str,
) -> None:
    there(api)
    call: JsonObject = {"metadata": {"name": "try-1", "namespace": "default", "resourceVersion": "7"}}
    api.tell(f"POST {ROOT}/toolcalls", {"kind": "ToolCall", **call})
    api.tell(f"GET {ROOT}/toolcalls", listed({**call, "status": status}, kind="ToolCall"))
    api.tell(f"DELETE {ROOT}/toolcalls/try-1", {"kind": "Status", "status": "Success"})
    assert kubechain("tools", "try", name, "--args", '{"n": 1}') == code
    said = capsys.readouterr()
    assert said.out == out and err in said.err
    [made] = api.of("POST")
    assert isinstance(made.body, dict)
    spec = made.body["spec"]
    assert isinstance(spec, dict) and "taskRun" not in spec and spec["arguments"] == '{"n": 1}'
    assert spec["origin"] == (
        {"kind": "Tool", "name": "add"} if name == "add" else {"kind": "MCPServer", "name": "git", "tool": "log"}
    )
    assert [r.path for r in api.of("DELETE")] == [f"{ROOT}/toolcalls/try-1"]


def test_a_kept_call_is_not_deleted(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    there(api)
    call: JsonObject = {"metadata": {"name": "try-1", "namespace": "default"}}
    api.tell(f"POST {ROOT}/toolcalls", {"kind": "ToolCall", **call})
    api.tell(
        f"GET {ROOT}/toolcalls",
        listed({**call, "status": {"phase": "Succeeded", "result": "3"}}, kind="ToolCall"),
    )
    assert kubechain("tools", "try", "add", "--keep") == 0
    assert "kept: toolcall/try-1" in capsys.readouterr().err
    assert not api.of("DELETE")


CREATED = [
    (["function", "t", "--entrypoint", "m:f", "--env", "A=1", "--secret-env", "T=s/k"], "function"),
    (["http", "t", "--url", "https://x/{city}", "--param", "city", "--bearer", "s/k"], "http"),
    (["container", "t", "--image", "alpine", "--param", "n:integer", "--network", "--", "wc", "-w"], "container"),
    (["agent", "t", "--agent", "web", "--effect", "ReadOnly", "--description", "Asks."], "agent"),
]


@pytest.mark.parametrize(("words", "kind"), CREATED)
def test_a_dry_run_prints_a_manifest_that_fits_the_kind_and_sends_nothing(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], words: list[str], kind: str
) -> None:
    assert kubechain("tools", "create", words[0], "--dry-run", *words[1:]) == 0
    manifest = yaml.safe_load(capsys.readouterr().out)
    assert (manifest["apiVersion"], manifest["kind"]) == (f"{GROUP}/v1alpha1", "Tool")
    assert kind in manifest["spec"] and not api.of("POST")
    if kind in {known.field for known in KINDS}:
        msgspec.json.decode(msgspec.json.encode(manifest["spec"]), type=ToolSpec)
        assert all(rule.holds(manifest["spec"], None) for rule in ToolSpec.rules)


def test_a_tool_is_created_at_once_without_a_dry_run(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.tell(f"POST {ROOT}/tools", {"kind": "Tool", "metadata": {"name": "t"}})
    assert kubechain("tools", "create", "function", "t", "--entrypoint", "m:f") == 0
    assert capsys.readouterr().out == "tool/t created\n"
    [made] = api.of("POST")
    assert isinstance(made.body, dict) and made.body["spec"] == {"function": {"entrypoint": "m:f"}}


def test_an_mcp_server_is_added_by_its_command_or_its_url(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "mcp",
        "add",
        "time",
        "--dry-run",
        "--secret-env",
        "TOKEN=s/k",
        "--",
        "uvx",
        "mcp-server-time",
        "--utc",
    ]
    assert kubechain(*words) == 0
    spec = yaml.safe_load(capsys.readouterr().out)["spec"]
    assert (spec["command"], spec["args"]) == ("uvx", ["mcp-server-time", "--utc"])
    msgspec.convert(spec, MCPServerSpec)
    assert kubechain("mcp", "add", "docs", "--url", "https://x/mcp", "--dry-run") == 0
    assert yaml.safe_load(capsys.readouterr().out)["spec"] == {"transport": "http", "url": "https://x/mcp"}
    assert kubechain("mcp", "add", "neither") == 1
    assert "give either a command" in capsys.readouterr().err


def test_a_file_is_fetched_from_its_parts_and_not_written_over_another(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artifact: JsonObject = {"handle": "c/x.bin", "mediaType": "a/b", "size": 6, "stored": "c-h", "parts": 2}
    call: JsonObject = {
        "metadata": {"name": "c"},
        "spec": {"tool": "draw"},
        "status": {"artifacts": [artifact]},
    }
    api.tell(f"GET {ROOT}/toolcalls", listed(call, kind="ToolCall"))
    api.tell(f"GET {ROOT}/toolcalls/c", call)
    for number, part in ((1, b"abc"), (2, b"\x00\xff\n")):
        spec: JsonObject = {"content": base64.b64encode(part).decode(), "encoding": "base64"}
        api.tell(f"GET {ROOT}/toolresults/c-h-{number}", {"spec": spec})
    assert kubechain("artifacts", "list", "taskrun/r") == 0
    assert "c/x.bin" in capsys.readouterr().out
    assert kubechain("artifacts", "get", "c/x.bin") == 0
    assert (tmp_path / "x.bin").read_bytes() == b"abc\x00\xff\n"
    assert kubechain("artifacts", "get", "c/x.bin") == 1
    assert "x.bin exists" in capsys.readouterr().err
    assert kubechain("artifacts", "get", "c/y.bin") == 1
    assert 'has no file "y.bin"' in capsys.readouterr().err
    assert kubechain("artifacts", "get", "x.bin") == 1
    assert "write TOOLCALL/FILE" in capsys.readouterr().err
