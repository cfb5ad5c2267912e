"""The image: its Dockerfile passes the linter, its packages are those of the tests, and built it runs as nobody.

$KUBECHAIN_IMAGE names an image that is there already (`make image`); without it and without a program that runs
images, the last test is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.deploy.printed import ROOT
from tests.parts.cache import PartMissing
from tests.parts.hadolint import hadolint

IMAGE = ROOT / "deploy" / "image"
PIN = re.compile(r"^([a-z0-9_.-]+)(?:\[.*\])?==([^ ;]+)", re.MULTILINE)


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    try:
        program = hadolint()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    done = subprocess.run([program, IMAGE / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock"])
def test_the_image_holds_the_very_versions_that_the_tests_ran_with(lock: str) -> None:
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    held = dict(PIN.findall((IMAGE / lock).read_text()))
    assert held and held == {name: tested.get(name) for name in held}, "run `make lock`"
    assert not {"mypy", "pytest", "ruff"} & set(held)
    assert (IMAGE / lock).read_text().count("--hash=sha256:") >= len(held)


def test_the_built_image_runs_as_nobody_on_a_disk_it_cannot_write() -> None:
    image = os.environ.get("KUBECHAIN_IMAGE", "")
    program = next((p for p in ("docker", "podman") if image and holds(p, image)), None)
    if program is None:
        pytest.skip("build it with `make image` and name it: KUBECHAIN_IMAGE=kubechain:0.1.0")
    run = [program, "run", "--rm", "--network=none", "--read-only", "--cap-drop=all"]
    for words, said in (
        (["kubechain", image, "--version"], "kubechain "),
        (["id", image], "uid=65532(kubechain) gid=65532(kubechain) groups=65532(kubechain)"),
    ):
        command = [*run, "--entrypoint", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.stdout.startswith(said), done.stderr


def holds(program: str, image: str) -> bool:
    """Whether a program that runs images is here and has this one."""
    words = [program, "image", "inspect", image]
    return bool(shutil.which(program)) and not subprocess.run(words, capture_output=True, timeout=60).returncode
