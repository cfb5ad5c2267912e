"""`kubechain kubeconfig` adds a context to a file that people need, and destroys nothing in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from kubechain.server.tls import kubeconfig
from tests.unit.cli.recorded import kubechain

THEIRS = """\
apiVersion: v1
kind: Config
current-context: prod
preferences: {colors: true}
clusters:
- {name: prod, cluster: {server: "https://prod.example:6443", extensions: [{name: x, extension: {size: 1}}]}}
users:
- name: prod
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: ["007"], env: null}}
contexts:
- {name: prod, context: {cluster: prod, user: prod, namespace: "1234"}}
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "kubeconfig").write_text(kubeconfig("https://127.0.0.1:6480", "PEM", "secret"))
    return folder


def merge(state: Path, file: Path, *words: str) -> int:
    return kubechain("kubeconfig", "--merge", "--state", str(state), "--file", str(file), *words)


def test_it_is_printed_as_it_is(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kubechain("kubeconfig", "--state", str(state)) == 0
    assert capsys.readouterr().out == (state / "kubeconfig").read_text()
    assert kubechain("kubeconfig", "--state", str(state / "none")) == 3


def test_a_context_is_added_everything_else_stays_and_can_be_had_back(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(THEIRS)
    for _ in range(2):
        assert merge(state, file) == 0
    config, theirs = yaml.safe_load(file.read_text()), yaml.safe_load(THEIRS)
    for part in ("clusters", "users", "contexts"):
        assert config[part][:-1] == theirs[part]
        assert config[part][-1]["name"] == "kubechain"
    assert {k: v for k, v in config.items() if not isinstance(v, list)} == {
        k: v for k, v in theirs.items() if not isinstance(v, list)
    }
    assert (tmp_path / "config.before-kubechain").read_text() == THEIRS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kubechain("kubeconfig", "--remove", "--file", str(file)) == 0
    assert yaml.safe_load(file.read_text()) == theirs


def test_a_file_is_made_where_there_is_none_and_a_link_stays_a_link(state: Path, tmp_path: Path) -> None:
    assert merge(state, tmp_path / "kube" / "config") == 0
    made = yaml.safe_load((tmp_path / "kube" / "config").read_text())
    assert (made["current-context"], made["kind"]) == ("kubechain", "Config")
    (tmp_path / "real").write_text(THEIRS)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert merge(state, tmp_path / "link", "--use", "--context", "mine") == 0
    assert (tmp_path / "link").is_symlink()
    assert yaml.safe_load((tmp_path / "real").read_text())["current-context"] == "mine"


@pytest.mark.parametrize(
    ("content", "words", "cause"),
    [
        (THEIRS, ["--context", "prod"], "already the name of something else"),
        (
            "clusters: [{name: kubechain, cluster: {server: https://other}}]\n",
            [],
            "already the name of something else",
        ),
        ("a: [1\n", [], "cannot be read as YAML, so nothing is changed"),
        ("- a\n", [], "is not a kubeconfig, so nothing is changed"),
    ],
)
def test_what_would_destroy_something_is_refused(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: list[str], cause: str
) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    assert merge(state, file, *words) == 1
    assert cause in capsys.readouterr().err
    assert file.read_text() == content
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["config"]


def test_a_file_that_another_program_is_changing_is_left_alone(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.lock").touch()
    assert merge(state, tmp_path / "config") == 1
    assert "another program is changing" in capsys.readouterr().err
    assert (tmp_path / "config.lock").exists()
    assert not (tmp_path / "config").exists()
