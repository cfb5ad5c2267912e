"""Stories of requests, and how one is played: each in a namespace of its own, request after request.

A step has `ask` (METHOD path?query), and where needed `headers`, `body` (a value that is sent as JSON, or a text
that is sent as it stands), `until` (the type of event that ends a watch), `pick` (which items of a long list are
compared) and `answer`: what a real server said. Where the embedded one says something else on purpose, `elsewhere`
holds that, and `because` the words of docs/compat.md that say so. `${...}` is filled in (see plain.Names).
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.contract.recorded.plain import Names, plain
from tests.contract.recorded.wire import Answer, Server

HERE = Path(__file__).parent
Story = dict[str, Any]
Step = dict[str, Any]


def files() -> list[Path]:
    return sorted(HERE.glob("*.json"))


def stories() -> list[Story]:
    """Every story of every file, with the file's name."""
    return [{**story, "file": path.stem} for path in files() for story in json.loads(path.read_text())]


async def play(server: Server, story: Story) -> AsyncIterator[tuple[Step, dict[str, Any]]]:
    """Each step with what the server says to it now."""
    names = Names(f"recorded-{secrets.token_hex(4)}")
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.held["namespace"]}}
    await server.ask("POST", "/api/v1/namespaces", {}, json.dumps(made).encode())
    for together in _sequence(story["steps"]):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_ask(server, step, names)) for step in together]
        for step, answer in zip(together, asked, strict=True):
            yield step, _told(answer.result(), step, names)


def _sequence(steps: list[Step]) -> Iterator[list[Step]]:
    """Step after step, but watches in a row together: they change nothing, and each waits for its time to pass."""
    for watching, row in groupby(steps, _is_a_short_watch):
        together = list(row)
        yield from [together] if watching else ([step] for step in together)


def _is_a_short_watch(step: Step) -> bool:
    return "watch" in step["ask"] and "timeoutSeconds=1" in step["ask"]


async def _ask(server: Server, step: Step, names: Names) -> Answer:
    try:
        return await _answer(server, step, names)
    except Exception as error:
        error.add_note(f"{step['ask']}; known: {', '.join(names.held)}")
        raise


async def _answer(server: Server, step: Step, names: Names) -> Answer:
    method, path = names.filled(step["ask"]).split(" ", 1)
    given = step.get("body")
    text = given if isinstance(given, str | None) else json.dumps(given)
    body = None if text is None else names.filled(text).encode()
    headers = {"Accept": "application/json", "User-Agent": "tester/1.0"}
    headers |= {"Content-Type": "application/json"} if body is not None else {}
    headers |= {key: names.filled(value) for key, value in step.get("headers", {}).items()}
    return await server.ask(method, path, {k: v for k, v in headers.items() if v}, body, step.get("until", ""))


def _told(answer: Answer, step: Step, names: Names) -> dict[str, Any]:
    """What is compared of an answer."""
    body = _picked(plain(answer.body, names), step.get("pick", {}))
    told: dict[str, Any] = {"code": answer.code, "body": body}
    if answer.warnings:
        told["warnings"] = answer.warnings
    if answer.media != "application/json":
        told["media"] = answer.media
    return told


def _picked(body: Any, pick: dict[str, list[str]]) -> Any:
    """Of the lists named, the items with these names (`name`, `resource`, ...), at any depth."""
    if isinstance(body, dict):
        return {
            k: _among(v, pick[k]) if k in pick and isinstance(v, list) else _picked(v, pick)
            for k, v in body.items()
        }
    return [_picked(item, pick) for item in body] if isinstance(body, list) else body


def _among(items: list[Any], wanted: list[str]) -> list[Any]:
    def called(item: Any) -> str:
        if not isinstance(item, dict):
            return str(item)
        metadata = item.get("metadata", {})
        return str(item.get("name") or item.get("resource") or metadata.get("name") or "")

    return sorted((item for item in items if called(item) in wanted), key=called)
