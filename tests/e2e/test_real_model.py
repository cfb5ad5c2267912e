"""The installed program with a real language model behind it: streamed, whole, killed and cut off in a reply."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program
from tests.parts.cache import PartMissing
from tests.parts.localmodel import LocalModel

pytestmark = pytest.mark.timeout(240)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
ECHO = "simple-echo-tool"


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    """A model server that is loaded."""
    running = LocalModel()
    try:
        await running.start()
    except PartMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with running:
        yield running


@contextmanager
def serving(home: Path) -> Iterator[tuple[Program, subprocess.Popen[str]]]:
    """A program that serves, and its process; ended with the block where it was not killed in it."""
    program = Program(home)
    process = program.start("up", "--port", "0")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "serves" in line:
                break
        yield program, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def kill(process: subprocess.Popen[str]) -> None:
    """As the kernel does when memory is short."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def manifests(model: LocalModel, messages: list[dict[str, Any]], **parameters: Any) -> str:
    """An LLM, an agent with the echo tool, and a run that goes on from these messages."""
    sampling = {"temperature": "0", "seed": 1, "timeout": "100s", **parameters}
    specs: list[tuple[str, dict[str, Any]]] = [
        ("LLM", {"provider": "openai-compatible", "parameters": {"baseURL": model.base_url, **sampling}}),
        ("Agent", {"llmRef": {"name": "it"}, "system": "You call the tool.", "tools": [{"name": ECHO}]}),
        ("Task", {"agent": "it", "contextWindow": messages}),
        ("TaskRun", {"task": "it"}),
    ]
    group = "kubechain.humanlayer.dev/v1alpha1"
    listed = [{"apiVersion": group, "kind": kind, "metadata": {"name": "it"}, "spec": s} for kind, s in specs]
    return "\n---\n".join(json.dumps(one) for one in listed)


def worked_examples() -> list[dict[str, Any]]:
    """The tool was called three times, and is to be called once more: a tiny model does as it sees others do."""
    told: list[dict[str, Any]] = []
    for number, word in enumerate(("alpha", "beta", "gamma")):
        function = {"name": ECHO, "arguments": json.dumps({"message": word})}
        told += [
            {"role": "user", "content": f"Echo {word}"},
            {"role": "assistant", "toolCalls": [{"id": f"c{number}", "type": "function", "function": function}]},
            {"role": "tool", "toolCallId": f"c{number}", "content": word},
            {"role": "assistant", "content": f"The tool said: {word}"},
        ]
    return [*told, {"role": "user", "content": "Echo delta"}]


STORY = [{"role": "user", "content": "Write a long story about a ship."}]


def status(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.ok("get", "taskrun", "it", "-o", "json"))
    said: dict[str, Any] = found["status"]
    return said


def ended(program: Program) -> dict[str, Any]:
    """The run, once it has its answer."""
    program.ok("wait", "taskrun/it", "--for=jsonpath={.status.completionTime}", "--timeout=120s")
    said = status(program)
    assert said["phase"] == "FinalAnswer", said
    return said


def is_being_answered(program: Program) -> None:
    """The model is at work: after a second that shows."""
    program.ok("wait", "taskrun/it", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")


@STREAMED
async def test_a_tool_is_called_and_its_result_answered(model: LocalModel, tmp_path: Path, stream: bool) -> None:
    def story() -> None:
        with serving(tmp_path) as (program, _):
            program.ok("apply", "-f", "-", stdin=manifests(model, worked_examples(), stream=stream, maxTokens=60))
            said = ended(program)
            call, result, answer = said["messages"][-3:]
            assert json.loads(call["toolCalls"][0]["function"]["arguments"]) == {"message": "delta"}
            assert (result["role"], "delta" in result["content"]) == ("tool", True)
            assert (answer["role"], answer["content"]) == ("assistant", said["output"])
            assert said["turns"] == 2
            assert said["usage"]["inputTokens"] > said["usage"]["outputTokens"] > 0

    await asyncio.to_thread(story)


async def test_a_program_killed_in_the_middle_of_a_reply_asks_again(model: LocalModel, tmp_path: Path) -> None:
    def story() -> None:
        with serving(tmp_path) as (program, process):
            program.ok("apply", "-f", "-", stdin=manifests(model, STORY, stream=True, maxTokens=100))
            is_being_answered(program)
            kill(process)
        with serving(tmp_path) as (program, _):
            said = ended(program)
            assert (said["turns"], len(said["messages"])) == (1, 3)
            assert said["output"] == said["messages"][-1]["content"] != ""
            assert said["usage"]["outputTokens"] <= 100

    await asyncio.to_thread(story)


@STREAMED
async def test_a_model_server_that_is_restarted_in_the_middle_of_a_reply_is_asked_again(
    model: LocalModel, tmp_path: Path, stream: bool
) -> None:
    def begin(program: Program) -> None:
        program.ok("apply", "-f", "-", stdin=manifests(model, STORY, stream=stream, maxTokens=100))
        is_being_answered(program)

    def waits(program: Program) -> None:
        program.ok("wait", "taskrun/it", "--for=jsonpath={.status.retry.reason}", "--timeout=60s")

    with serving(tmp_path) as (program, _):
        await asyncio.to_thread(begin, program)
        await model.stop()
        await asyncio.to_thread(waits, program)
        assert f"{model.address} " in (await asyncio.to_thread(status, program))["waitingOn"]
        await model.start()
        said = await asyncio.to_thread(ended, program)
    assert (said["turns"], "retry" in said) == (1, False)
