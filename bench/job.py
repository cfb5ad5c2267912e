"""The job that every system does: T turns of a model, one call of the tool `echo` in each turn but the last.

Imported by every driver, in the peers' own environments too: it needs the standard library alone.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
from dataclasses import dataclass
from typing import Any

ASKED = "job "
"""The first user message is this word and the name of the run; the model server counts by that name."""
SMALL = 64
ECHO: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run": {"type": "string"},
        "n": {"type": "integer"},
        "size": {"type": "integer"},
    },
    "required": ["run", "n", "size"],
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "echo", "description": "Returns `size` bytes.", "parameters": ECHO}}
]


@dataclass(frozen=True)
class Shape:
    """How long a run is: turns of the model, bytes of every tool result, milliseconds that the model thinks."""

    turns: int
    size: int = 16
    wait: int = 0

    @property
    def model(self) -> str:
        """The model's name, from which the model server reads the shape."""
        return f"t{self.turns}-s{self.size}-w{self.wait}"

    @property
    def answer(self) -> str:
        """The final text of a run that lost nothing."""
        return f"done after {self.turns - 1} results"


def shape_of(model: str) -> Shape:
    """The shape behind a model's name. Raises ValueError for a name that has none."""
    found = re.fullmatch(r"t(\d+)-s(\d+)-w(\d+)", model)
    if found is None:
        raise ValueError(f"model {model!r}: expected a name such as t20-s16-w0")
    return Shape(*map(int, found.groups()))


def asked(run: str) -> dict[str, Any]:
    """The message that a run begins with."""
    return {"role": "user", "content": ASKED + run}


def echo(run: str, n: int, size: int) -> str:
    """The tool. Where $BENCH_JOURNAL names a file, every execution leaves a line there."""
    if journal := os.environ.get("BENCH_JOURNAL"):
        line = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(line, f"{run} {n}\n".encode())
        os.close(line)
    if size <= SMALL:
        return f"{n:0{size}d}"
    return base64.b64encode(random.Random(n).randbytes(size)).decode()[:size]


def answered(call: dict[str, Any]) -> dict[str, Any]:
    """The tool message that answers a requested call, the tool being run in this process."""
    given = json.loads(call["function"]["arguments"])
    return {"role": "tool", "tool_call_id": call["id"], "content": echo(**given)}
