"""The words that every driver understands, and how it says what it found. The standard library alone."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys

DEFAULTS = {
    "seq": (20, 16, 0, 1),
    "tput": (5, 16, 0, 200),
    "grow": (200, 2048, 0, 1),
    "park": (2, 16, 0, 2_000),
    "many": (2, 16, 0, 50_000),
    "crash": (10, 16, 50, 100),
}
"""Turns, bytes of a result, milliseconds of the model, runs at once."""
_count = itertools.count()


def arguments(*jobs: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=jobs or list(DEFAULTS))
    parser.add_argument("--dir", required=True, help="where the system keeps its data")
    parser.add_argument("--model", required=True, help="address of the model server")
    parser.add_argument("--store", default="", help="sqlite, postgres, none: where a driver knows several")
    parser.add_argument("--runs", type=int, default=5, help="measured repetitions")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--wait", type=int)
    parser.add_argument("--n", type=int)
    parser.add_argument("--again", action="store_true", help="go on with what the folder holds after a kill")
    parser.add_argument("--effect", default="NonIdempotent", help="of the tool in `crash`, for KubeChain")
    parser.add_argument("--profile", action="store_true", help="print the engine's process id and go on")
    args = parser.parse_args()
    for name, value in zip(("turns", "size", "wait", "n"), DEFAULTS[args.job], strict=True):
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def nonce() -> str:
    """A word that no other run of this machine has used lately."""
    return f"{os.getpid()}-{next(_count)}"


def say(**figures: object) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(figures), flush=True, file=sys.stdout)
