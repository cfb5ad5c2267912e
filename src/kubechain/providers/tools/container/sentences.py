"""How a container ended, in the words that the model reads.

`local` and `jobs` call it. Pure.
"""

from __future__ import annotations

import signal

from msgspec import Struct

KILLED = 128 + signal.SIGKILL
_WORDS = 2_000


class Ended(Struct, frozen=True):
    """How a container ended. `output`: what it printed on stdout; `words`: the end of its stderr."""

    code: int
    output: bytes = b""
    words: str = ""
    out_of_memory: bool = False


def failure(ended: Ended, memory: str) -> str:
    """Why a container with an exit code other than 0 failed. `memory` is its limit."""
    if ended.out_of_memory:
        return _with_words(f"the container used more memory than its limit of {memory} and was killed", ended)
    if ended.code == KILLED:
        likely = f"most likely it used more memory than its limit of {memory}"
        return _with_words(f"the container was killed ({likely})", ended)
    if ended.code > 128 and (name := _signal(ended.code - 128)):
        return _with_words(f"the program in the container was ended by {name}", ended)
    return _with_words(f"the program in the container exited with code {ended.code}", ended)


def too_slow(seconds: float) -> str:
    """For a container that was killed at its deadline."""
    return f"the container did not end within {seconds:g} s and was killed; raise the tool's timeout"


def _with_words(text: str, ended: Ended) -> str:
    printed = ended.words.strip() or ended.output[-_WORDS:].decode("utf-8", "replace").strip()
    return f"{text}: {printed[-_WORDS:]}" if printed else text


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
