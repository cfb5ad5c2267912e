"""`kubechain create` makes Secrets and namespaces from the words that kubectl takes."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from kubechain.resources.json import JsonObject
from tests.unit.cli.recorded import RecordedApi, kubechain

SECRETS = "/api/v1/namespaces/default/secrets"


def test_a_secret_is_made_of_values_and_files(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made: JsonObject = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}}
    api.tell(f"POST {SECRETS}", made, status=201)
    (tmp_path / "token.txt").write_bytes(b"t\xff\n")
    words = [
        "--from-literal=K=a=b",
        f"--from-file={tmp_path / 'token.txt'}",
        f"--from-file=x={tmp_path}/token.txt",
    ]
    assert kubechain("create", "secret", "generic", "openai", *words) == 0
    assert capsys.readouterr().out == "secret/openai created\n"
    sent = api.of("POST")[0].body
    file = b64encode(b"t\xff\n").decode()
    assert sent["data"] == {"K": b64encode(b"a=b").decode(), "token.txt": file, "x": file}
    assert sent["type"] == "Opaque"


def test_a_dry_run_prints_a_manifest_and_asks_nobody(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["create", "secret", "generic", "s", "--from-literal=K=v", "--dry-run=client", "-o", "yaml"]
    assert kubechain(*words) == 0
    assert "kind: Secret" in capsys.readouterr().out
    assert api.requests == []


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--from-literal=K"], "needs KEY=VALUE"),
        (["--from-file=/nowhere/x"], "/nowhere/x cannot be read"),
        (["--from-literal=K=1", "--from-literal=K=2"], "'K' is given twice"),
    ],
)
def test_what_makes_no_secret_is_named(
    api: RecordedApi, capsys: pytest.CaptureFixture[str], words: list[str], cause: str
) -> None:
    assert kubechain("create", "secret", "generic", "s", *words) == 1
    assert cause in capsys.readouterr().err
    assert api.requests == []


def test_a_namespace_is_made_by_its_name(api: RecordedApi, capsys: pytest.CaptureFixture[str]) -> None:
    made: JsonObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    api.tell("POST /api/v1/namespaces", made, status=201)
    assert kubechain("create", "namespace", "team-a") == 0
    assert capsys.readouterr().out == "namespace/team-a created\n"
