"""The commands against the real program: the walk-through, the same bytes as kubectl, the demo."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from tests.e2e.program import Program, up
from tests.parts.cache import PartMissing
from tests.parts.kubectl import kubectl

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: openai}\nstringData: {OPENAI_API_KEY: any}\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A running KubeChain in which the walk-through is applied and done."""
    with up(tmp_path_factory.mktemp("home")) as running, as_file(files("kubechain.samples")) as samples:
        running.ok("apply", "-f", str(samples / "walkthrough"))
        running.ok("apply", "-f", "-", stdin=SECRET)
        running.ok("wait", "taskrun/hello-world-run", "--for=jsonpath={.status.phase}=FinalAnswer")
        yield running


@pytest.fixture(scope="module")
def binary() -> Path:
    """kubectl 1.32."""
    try:
        return kubectl("1.32")
    except PartMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def test_the_walkthroughs_tables_are_those_of_the_readme(program: Program) -> None:
    assert program.ok("get", "llm") == (
        "NAME     PROVIDER   READY   STATUS\n"
        "gpt-4o   openai     true    Ready\n"
    )  # fmt: skip
    assert program.ok("get", "agent") == (
        "NAME           LLM      READY   STATUS\n"
        "my-assistant   gpt-4o   true    Ready\n"
    )  # fmt: skip
    assert program.ok("get", "task") == (
        "NAME               AGENT          READY   STATUS\n"
        "hello-world-task   my-assistant   true    Ready\n"
    )  # fmt: skip
    assert program.ok("get", "taskrun", "hello-world-run").splitlines()[1].split()[:3] == [
        "hello-world-run", "hello-world-task", "FinalAnswer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "llm", "llm -o wide", "llm,agent,task -A -o wide", "agent my-assistant nope", "llm -n other",
        "taskrun/hello-world-run -o yaml", "taskrun,toolcall -o yaml", "kubechain -o json",
        "secret openai -o json",
        "toolcalls -o name", "llms.kubechain.humanlayer.dev", "llm --no-headers", "llm -l a=b", "llm nope",
        "llm,agent -o custom-columns=NAME:.metadata.name,READY:.status.ready,NOPE:.spec.nope",
        "taskrun --field-selector status.phase=FinalAnswer -o name",
        "taskrun --field-selector status.phase=Failed",
        "llm --sort-by .metadata.name",
        "-f kubechain-example/walkthrough -o name", "-R -f kubechain-example/walkthrough -o json",
        "taskrun hello-world-run -o jsonpath={.status.messages[*].role}{'\\n'}",
    ],
)  # fmt: skip
def test_get_prints_the_very_bytes_that_kubectl_prints(program: Program, binary: Path, words: str) -> None:
    ours, theirs = program("get", *words.split()), program.kubectl(binary, "get", *words.split())
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)


def test_kubectl_and_kubechain_take_turns_at_applying(program: Program, binary: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "llm.yaml"

    def write(*stop: str) -> None:
        lines = "".join(f"    - {word}\n" for word in stop)
        manifest.write_text(
            "apiVersion: kubechain.humanlayer.dev/v1alpha1\nkind: LLM\nmetadata: {name: shared}\n"
            "spec:\n  provider: ollama\n" + (f"  parameters:\n    stop:\n{lines}" if stop else "")
        )

    def theirs() -> str:
        return program.kubectl(binary, "apply", "-f", str(manifest)).stdout

    name = "llm.kubechain.humanlayer.dev/shared"
    write("a")
    assert program.ok("apply", "-f", str(manifest)) == f"{name} created\n"
    assert theirs() == f"{name} unchanged\n"
    write("a", "b")
    assert theirs() == f"{name} configured\n"
    assert program.ok("apply", "-f", str(manifest)) == f"{name} unchanged\n"
    write()
    assert program.ok("apply", "-f", str(manifest)) == f"{name} configured\n"
    assert program.ok("get", "llm", "shared", "-o", "jsonpath={.spec.parameters.stop}") == ""
    assert program.ok("delete", "-f", str(manifest)) == 'llm.kubechain.humanlayer.dev "shared" deleted\n'


def test_an_invalid_manifest_is_told_in_kubectls_words(program: Program, binary: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "bad.yaml"
    manifest.write_text(
        "apiVersion: kubechain.humanlayer.dev/v1alpha1\nkind: LLM\n"
        "metadata: {name: bad}\nspec: {provider: nobody}\n"
    )
    ours = program("apply", "-f", str(manifest))
    theirs = program.kubectl(binary, "apply", "-f", str(manifest))
    assert (ours.returncode, theirs.returncode) == (1, 1)
    told = theirs.stderr.partition("The LLM ")[2]
    assert "spec.provider" in told
    assert ours.stderr.partition("The LLM ")[2] == told


def test_logs_and_describe_tell_the_conversation(program: Program) -> None:
    said = program.ok("logs", "taskrun/hello-world-run")
    assert 'calls simple-echo-tool {"message":"Hello, World!"}' in said
    assert "simple-echo-tool: Echo: Hello, World!" in said
    told = program.ok("describe", "taskrun", "hello-world-run")
    assert "Echo: Hello, World!" in told
    assert "FinalAnswer" in told.partition("Events:")[2]


def test_run_answers_on_stdout_and_leaves_with_its_task(program: Program) -> None:
    done = program(
        "run", "my-assistant", "Say hello to the world using the echo tool", "--follow", "--name", "asked"
    )
    assert done.returncode == 0, done.stderr
    assert "Echo: Hello, World!" in done.stdout
    assert "simple-echo-tool" in done.stderr
    assert program.ok("delete", "task", "asked") == 'task.kubechain.humanlayer.dev "asked" deleted\n'
    program.ok("wait", "taskrun/asked", "--for=delete")


def test_a_second_one_is_refused_and_the_first_goes_on(program: Program) -> None:
    second = program("up", "--detach")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert "runs (pid" in program.ok("status")


def test_a_later_start_goes_on_with_the_options_of_the_first(tmp_path: Path) -> None:
    program, folder = Program(tmp_path), tmp_path / "functions"
    folder.mkdir()
    state = ("--state", str(tmp_path / "state"))
    words = ("up", "--detach", "--port", "0", *state)
    try:
        first = program.ok(*words, "--model", "scripted", "--functions", str(folder))
        assert f"`kubechain down --state {tmp_path}/state` stops it" in first
        program.ok("down", *state)
        second = program(*words)
        told = f"Using the options of last time: --model scripted --functions {folder}\n"
        assert second.stderr.startswith(told)
        assert "answered by the scripted model" in second.stdout
        program.ok("down", *state)
        third = program(*words, "--model", "own", "--no-functions")
        assert (third.returncode, "last time" in third.stderr) == (0, False)
        assert "answered by their own providers" in third.stdout
    finally:
        program.ok("down", *state)


def test_ctrl_c_is_a_clean_end_of_up(tmp_path: Path) -> None:
    program = Program(tmp_path)
    process = program.start("up", "--port", "0", "--model", "scripted")
    assert process.stdout is not None
    try:
        first = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "scripted model" in first[1]
    assert first[3] == f"  export KUBECONFIG={program.kubeconfig}\n"
    assert (process.returncode, rest.splitlines()[-1]) == (
        0, "KubeChain stopped. `kubechain up` continues where it stopped.",
    )  # fmt: skip
    assert program("status").returncode == 3
    assert program.processes() == []


@pytest.mark.parametrize("key", ["", "any"])
def test_the_demo_survives_its_kill_and_leaves_nothing_behind(tmp_path: Path, key: str) -> None:
    """With a key in the environment too: nobody is asked who could agree to spend it."""
    program = Program(tmp_path, {"OPENAI_API_KEY": key})
    done = program("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is killed: 3 messages are stored" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Passed. ")
    assert "5 messages: 3 from before the kill, unchanged, and 2 after it." in done.stdout
    assert done.stdout.count("Echo: Hello, World!") == 3  # the ToolCall, the tool's message, the answer
    assert "\x1b" not in done.stdout
    assert program.processes() == []
    assert list(tmp_path.glob("kubechain-demo-*")) == []


@pytest.mark.parametrize("after", ["1. ", "3. ", "5. "])
def test_ctrl_c_in_the_demo_leaves_nothing_behind(tmp_path: Path, after: str) -> None:
    program = Program(tmp_path)
    process = program.start("demo")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith(after):
                break
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert program.processes() == []
    assert list(tmp_path.glob("kubechain-demo-*")) == []
