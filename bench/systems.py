"""The systems that are compared: how each is started, which jobs it can do, and why it may be missing here.

Called by the orchestrator, __main__.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.peers import places, postgres

SIMPLE = ("seq", "tput", "grow")
ALL = (*SIMPLE, "park", "crash")
OURS = "kubechain"
FLOOR = "floor"


@dataclass(frozen=True)
class System:
    """`words` start its driver. `alone`: the driver kills and restarts by itself in `park` and `crash`."""

    name: str
    jobs: Sequence[str]
    words: Callable[[], list[str | Path]]
    why_missing: Callable[[], str] = lambda: ""
    postgres: bool = False
    restate: bool = False
    alone: bool = False


def _ours(*words: str) -> list[str | Path]:
    return [sys.executable, "-m", *words]


def _peer(peer: str, *words: str) -> list[str | Path]:
    return [places.python(peer), "-m", f"bench.peers.{peer}", *words]


def _missing(peer: str, *, with_postgres: bool = False) -> str:
    if with_postgres and (why := postgres.why_missing()):
        return why
    if peer == "restate" and (why := places.why_missing(places.restate_server)):
        return why
    return places.why_missing(partial(places.python, peer))


SYSTEMS = (
    System(FLOOR, SIMPLE, partial(_ours, "bench.floor", "--store", "none")),
    System("sqlite by hand", SIMPLE, partial(_ours, "bench.floor", "--store", "sqlite")),
    System(OURS, (*ALL, "many"), partial(_ours, "bench.ours"), alone=True),
    System(
        "langgraph sqlite", ALL, partial(_peer, "langgraph", "--store", "sqlite"), partial(_missing, "langgraph")
    ),
    System(
        "langgraph postgres", ALL, partial(_peer, "langgraph", "--store", "postgres"),
        partial(_missing, "langgraph", with_postgres=True), postgres=True,
    ),
    System("dbos sqlite", ALL, partial(_peer, "dbos", "--store", "sqlite"), partial(_missing, "dbos")),
    System(
        "dbos postgres", ALL, partial(_peer, "dbos", "--store", "postgres"),
        partial(_missing, "dbos", with_postgres=True), postgres=True,
    ),
    System("restate", ALL, partial(_peer, "restate"), partial(_missing, "restate"), restate=True),
)  # fmt: skip
