"""Plays each story of this folder (writes of several field managers to one object) to a real API server, and keeps
its answers beside them.

Run by hand as `bad_manifests.record` is. A step's answer is the object with its managedFields, times left out, or
the refusal. Tests only read what it wrote.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.contract.bad_manifests.record import KINDS, Server, path_of, plain

HERE = Path(__file__).parent
TYPES = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
Story = dict[str, Any]


def stories() -> list[Story]:
    """Every story: title, kind, and steps {verb, manager, body, force?, subresource?, answer}."""
    return [story for path in sorted(HERE.glob("*.json")) for story in json.loads(path.read_text())]


def essence(obj: dict[str, Any]) -> dict[str, Any]:
    """What is compared of an object: all but versions, uids and times."""
    meta = obj["metadata"]
    kept = {n: meta[n] for n in ("labels", "annotations", "finalizers", "ownerReferences") if n in meta}
    entries = [{n: v for n, v in entry.items() if n != "time"} for entry in meta.get("managedFields", [])]
    entries.sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    return {**obj, "metadata": {**kept, "managedFields": entries}}


def play(server: Server, story: Story) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each step of the story with the server's answer to it."""
    kind, name = KINDS[story["kind"]], story["steps"][0]["body"]["metadata"]["name"]
    server.ask("DELETE", path_of(kind, name))
    for step in story["steps"]:
        query = {"fieldManager": step["manager"]}
        if step["verb"] == "apply":
            query |= {"force": json.dumps(step.get("force", False)), "fieldValidation": "Ignore"}
        tail = f"/{step['subresource']}" if "subresource" in step else ""
        if step["verb"] == "create":
            path, method = path_of(kind), "POST"
        else:
            path, method = path_of(kind, name) + tail, "PATCH"
        media = TYPES.get(step["verb"], "application/json")
        answer = server.ask(method, f"{path}?{urllib.parse.urlencode(query)}", step["body"], media)
        yield step, plain(answer) if answer.get("kind") == "Status" else essence(answer)
    server.ask("DELETE", path_of(kind, name))


def main(url: str) -> None:
    """Record every story again."""
    server = Server(url)
    for path in sorted(HERE.glob("*.json")):
        told = json.loads(path.read_text())
        for story in told:
            for step, answer in play(server, story):
                step["answer"] = answer
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
