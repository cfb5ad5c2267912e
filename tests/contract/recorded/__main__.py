"""Plays every story to a real API server and keeps its answers: `python -m tests.contract.recorded KUBECONFIG`.

Run by hand against a throw-away cluster (`python -m tests.parts.apiserver KUBECONFIG` starts one); installs our
CRDs where they are missing, and leaves the namespaces of the stories behind. Tests only read what it wrote.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.contract.recorded.story import Story, files, play
from tests.contract.recorded.wire import Server, server_of
from tests.kubernetes import install

AT_ONCE = 4


async def record(kubeconfig: Path, wanted: list[str]) -> None:
    """Write the answers of every story of the files named, or of all."""
    await install(kubeconfig)
    async with server_of(kubeconfig) as server:
        for path in files():
            if wanted and path.stem not in wanted:
                continue
            told = json.loads(path.read_text())
            limit = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for story in told:
                    group.create_task(_record(server, story, limit))
            path.write_text(written(told))
            print(f"{path.stem}: {sum(len(story['steps']) for story in told)} requests in {len(told)} stories")


async def _record(server: Server, story: Story, limit: asyncio.Semaphore) -> None:
    async with limit:
        async for step, answer in play(server, story):
            step["answer"] = answer


def written(told: list[Story]) -> str:
    """Stories as text: a line for each part of a step, so that a change of an answer is a change of a line."""
    return "[\n" + ",\n".join(map(_story, told)) + "\n]\n"


def _story(story: Story) -> str:
    head = {key: value for key, value in story.items() if key != "steps"}
    steps = ",\n".join(_step(step) for step in story["steps"])
    return f'{{{_line(head)[1:-1]}, "steps": [\n{steps}\n]}}'


def _step(step: dict[str, Any]) -> str:
    return "  {" + ",\n   ".join(f"{_line(key)}: {_line(value)}" for key, value in step.items()) + "}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), sys.argv[2:]))
