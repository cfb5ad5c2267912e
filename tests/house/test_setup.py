"""`make setup` builds .venv on the fastest Python there is, and gets uv from whichever Python can install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"
SECONDS = 60.0
MAKES_ENVIRONMENTS = 'mkdir -p "$3/bin" && echo "touch $3/bin/uv" > "$3/bin/python" && chmod +x "$3/bin/python"'
HAS_ONLY_PIP = '[ "$2" = pip ] && mkdir -p "$6/bin" && touch "$6/bin/uv"'
HAS_NEITHER = 'echo "No module named $2" >&2; exit 1'


def machine(folder: Path, **pythons: str) -> dict[str, str]:
    """The environment of a machine with, in this order on PATH, a python3.11 for each script, and little else."""
    for name, script in pythons.items():
        program = folder / name / "python3.11"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    (folder / "system").mkdir()
    for word in ("bash", "rm", "mkdir", "touch", "chmod"):
        (folder / "system" / word).symlink_to(shutil.which(word) or word)
    return os.environ | {"PATH": os.pathsep.join(str(folder / name) for name in (*pythons, "system"))}


def answers(built: str, path: str) -> str:
    """The script of a Python that answers what `tools/choose-python` asks."""
    return f"echo {built} 3.11.9 {path}"


def run(environment: dict[str, str], tool: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / tool, *words], env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def test_the_first_python_built_with_optimisation_is_chosen_and_said_why(tmp_path: Path) -> None:
    slow, fast, late = answers("without", "/slow"), answers("with", "/fast"), answers("with", "/late")
    answer = run(machine(tmp_path, slow=slow, fast=fast, late=late), "choose-python")
    assert answer.stdout == "/fast\n"
    assert answer.stderr == (
        "setup: Python 3.11.9, /fast: built with optimisation (passed over, built without: /slow)\n"
    )


def test_a_python_that_lacks_what_the_program_needs_is_not_chosen(tmp_path: Path) -> None:
    lacks = f"""exec '{sys.executable}' -I -c "import sys; sys.modules['sqlite3'] = None; $3" """
    answer = run(machine(tmp_path, lacks=lacks, fast=answers("with", "/fast")), "choose-python")
    assert answer.stdout == "/fast\n"


def test_a_real_python_answers_how_it_was_built(tmp_path: Path) -> None:
    answer = run(machine(tmp_path, real=f"exec '{sys.executable}' \"$@\""), "choose-python")
    assert Path(answer.stdout.strip()).exists()
    assert ": built with" in answer.stderr


def test_uv_is_installed_by_the_first_python_that_can_make_an_environment(tmp_path: Path) -> None:
    environment = machine(tmp_path, bare=HAS_NEITHER, able=MAKES_ENVIRONMENTS)
    assert run(environment, "install-uv", str(tmp_path / "uv"), "1.0").returncode == 0
    assert (tmp_path / "uv" / "bin" / "uv").exists()


def test_uv_is_installed_by_a_python_that_has_pip_alone(tmp_path: Path) -> None:
    assert run(machine(tmp_path, pip=HAS_ONLY_PIP), "install-uv", str(tmp_path / "uv"), "1.0").returncode == 0
    assert (tmp_path / "uv" / "bin" / "uv").exists()


def test_without_a_python_that_can_install_uv_the_next_move_is_said(tmp_path: Path) -> None:
    answer = run(machine(tmp_path, bare=HAS_NEITHER), "install-uv", str(tmp_path / "uv"), "1.0")
    assert answer.returncode == 1
    assert "Install uv (https://docs.astral.sh/uv), or python3-venv" in answer.stderr
    assert "No module named venv" in answer.stderr
