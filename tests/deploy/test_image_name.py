"""What an image is called: on a node, and where podman built it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.printed import DEPLOY

FULL = "docker.io/library/kubechain:0.1.0"
KUBECTL = """#!/bin/sh
[ "$1" != config ] || echo kind-mine
[ "$1" != apply ] || cat >/dev/null
"""
RECORDED = """#!/bin/sh
echo "$(basename "$0") $*" >>"$RECORD"
"""


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("kubechain:0.1.0", FULL),
        ("kubechain", "docker.io/library/kubechain"),
        ("acme/kubechain:v1", "docker.io/acme/kubechain:v1"),
        ("localhost/kubechain:v1", "localhost/kubechain:v1"),
        ("localhost:5000/kubechain:v1", "localhost:5000/kubechain:v1"),
        ("registry.example.com/team/kubechain:v1", "registry.example.com/team/kubechain:v1"),
        ("kubechain@sha256:" + "0" * 64, "docker.io/library/kubechain@sha256:" + "0" * 64),
    ],
)
def test_an_image_has_the_name_that_a_node_looks_for(image: str, name: str) -> None:
    done = subprocess.run(
        [DEPLOY / "image" / "name", image], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == name


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, str]:
    """A PATH on which docker does not answer, and podman, kind and kubectl only say what they were asked."""
    programs = {"docker": "#!/bin/sh\nexit 1\n", "podman": RECORDED, "kind": RECORDED, "kubectl": KUBECTL}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(tmp_path / "record"), "WAIT": "0"}


def run(environment: dict[str, str], *words: str) -> list[str]:
    command = [str(DEPLOY / words[0]), *words[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return Path(environment["RECORD"]).read_text().splitlines()


def test_podman_builds_under_that_name(recorded: dict[str, str]) -> None:
    (build,) = run(recorded, "image/build", "kubechain:0.1.0")
    assert build.startswith("podman build ") and f" --tag {FULL} " in build


def test_on_kind_the_nodes_are_given_that_name(recorded: dict[str, str]) -> None:
    recorded["KUBECHAIN"] = "true"
    saved, loaded = run(recorded, "up", "kubechain:0.1.0")
    assert saved.startswith("podman save ") and saved.endswith(f" {FULL}")
    assert loaded.startswith("kind load image-archive ") and loaded.endswith(" --name mine")
