"""What a model means to say: the truth that a reply is compared with, whatever the wire makes of it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"

WORDS = (
    "yes",
    "done",
    "é",
    "日本",
    "\u2028",
    "a\x85b",
    "😀",
    '"quoted"',
    "\\",
    "{",
    "</s>",
    "data: x",
    "\n\n",
    " ",
)
NAMES = ("simple-echo-tool", "now", "srv__purge", "read_result")
ENDINGS = ("stop", "length", "filter", "odd")


@dataclass(frozen=True)
class Intent:
    """Text, calls as (name, arguments as JSON text), a thought, why it stops."""

    text: str
    calls: tuple[tuple[str, str], ...]
    thought: str
    ending: str
    """`stop`: it is whole. `length` and `filter`: cut there. `odd`: a word nobody knows."""

    @property
    def whole(self) -> bool:
        return self.ending in ("stop", "odd")


def intend(rng: Random) -> Intent:
    """Anything from a word to five calls."""
    text = "".join(rng.choices(WORDS, k=rng.randrange(6))) if rng.random() < 0.7 else ""
    count = rng.choice((0, 0, 1, 1, 2, 3, 5))
    calls = tuple(
        (rng.choice(NAMES), json.dumps(arguments(rng), ensure_ascii=rng.random() < 0.5)) for _ in range(count)
    )
    thought = "".join(rng.choices(WORDS, k=3)) if rng.random() < 0.2 else ""
    ending = "stop" if rng.random() < 0.8 else rng.choice(ENDINGS)
    return Intent(text, calls, thought, ending)


def arguments(rng: Random) -> dict[str, Value]:
    """An object, never empty: what stands for no arguments at all is a matter of the wire."""
    return {rng.choice("abcxy") + str(i): value(rng, 0) for i in range(rng.randrange(1, 4))}


def value(rng: Random, depth: int) -> Value:
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 7:
        return {str(i): value(rng, depth + 1) for i in range(rng.randrange(3))}
    return ("".join(rng.choices(WORDS, k=2)), rng.randrange(-9, 10**6), True, None, 0.5, "")[kind]


def pieces(rng: Random, text: str) -> list[str]:
    """The text, cut at random places; between two halves of a surrogate pair as well where it is JSON text."""
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(4))) if text else []
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
