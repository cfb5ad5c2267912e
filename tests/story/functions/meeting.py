"""Functions behind the tools of the stories: calls that meet, fail, look around, leave a line."""

from __future__ import annotations

import os
import time
from pathlib import Path


def meet(message: str) -> str:
    """Waits until the other call of the same turn is running too: alone, it fails after ten seconds.

    Args:
        message: who comes.
    """
    place = Path(os.environ["MEETING_PLACE"])
    (place / message).write_text("here")
    deadline = time.monotonic() + 10
    while len(list(place.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody else came")
        time.sleep(0.01)
    return f"met as {message}"


def fail(message: str) -> str:
    """Always fails."""
    raise ValueError(f"no such city: {message}")


def look_around(message: str) -> str:
    """What the tool's process can see of its environment."""
    return "\n".join(sorted(f"{name}={value}" for name, value in os.environ.items()))


def write_line(message: str) -> str:
    """Appends a line to a file: an effect that must not happen twice."""
    with open(os.environ["JOURNAL"], "a") as journal:  # noqa: PTH123
        journal.write(f"{message}\n")
    return "written"


def write_much(message: str) -> str:
    """Two thousand characters that begin with the message."""
    return f"{message}:".ljust(2000, "x")


def write_pages(message: str) -> str:
    """Thirty thousand numbered words of seven characters."""
    return "".join(f"{n:06d} " for n in range(30_000))
