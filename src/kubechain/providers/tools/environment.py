"""The environment of a tool process: what the manifest lists, and the minimum that programs need.

`function` and `mcp` call it for every process they start. Nothing else of the program's own environment (API keys,
kubeconfigs, proxies) ever gets into a tool process:

    PATH   the folder of the running interpreter first, so that `python3` is the one kubechain is installed in,
           then the program's own PATH
    HOME   the home of the user the program runs as; package runners keep their caches there
    LANG   C.UTF-8, for tool processes only: text goes in and out as UTF-8

A value in the manifest takes precedence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kubechain.agents.call.redaction import SHORTEST


def environment(given: Mapping[str, str], *, locale: bool = False) -> dict[str, str]:
    """The whole environment of a tool process; `locale` adds LANG."""
    least = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH") or os.defpath]),
        "HOME": str(Path("~").expanduser()),
    }
    if locale:
        least["LANG"] = "C.UTF-8"
    return {**least, **given}


def secrets(given: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a manifest's environment that must not be printed, each line of them, longest first.

    It is not known here which values came from a Secret, so all count, except very short ones.
    """
    pieces = {piece.strip() for value in given.values() for piece in (value, *value.splitlines())}
    return tuple(sorted((p for p in pieces if len(p) >= SHORTEST), key=len, reverse=True))
