"""`python -m bench`: KubeChain beside its peers, in interleaved rounds, one table at the end.

Sets the peers up on first use (places.py), measures every job on every system and medium in random order, prints
a line as each is done, writes bench/results/latest.json. Leaves no process and no folder behind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import report
from bench.peers.places import restate_server
from bench.peers.postgres import Cluster
from bench.process import free_ports
from bench.systems import OURS, SYSTEMS, System
from bench.trial import Figures, Trial, measured, syncs

JOBS = ("seq", "tput", "grow", "park", "crash", "many")
QUICK_JOBS = ("seq", "tput", "grow", "park", "crash")
PLACES = {"tmp": Path("/dev/shm"), "disk": Path("/var/tmp")}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round on tmpfs with fewer parked runs: 5 minutes"
    )
    parser.add_argument("--only", default="", help="systems, with commas, by how their names begin")
    parser.add_argument("--jobs", default="", help=f"with commas, of {', '.join(JOBS)}")
    parser.add_argument("--media", default="", help="tmp or disk; default: both")
    parser.add_argument("--rounds", type=int, help="default 3; park, crash and many take part in the first alone")
    parser.add_argument("--runs", type=int, help="repetitions in one measurement: default 5, with --quick 2")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--results", type=Path, default=report.LATEST)
    args = parser.parse_args()
    args.jobs = args.jobs.split(",") if args.jobs else list(QUICK_JOBS if args.quick else JOBS)
    args.media = args.media.split(",") if args.media else (["tmp"] if args.quick else ["tmp", "disk"])
    args.runs = args.runs or (2 if args.quick else 5)
    args.rounds = args.rounds or (1 if args.quick else 3)
    return args


def chosen(only: str) -> list[System]:
    """The systems asked for; all when none is."""
    words = [word.strip() for word in only.split(",") if word.strip()]
    found = [system for system in SYSTEMS if not words or any(system.name.startswith(word) for word in words)]
    if not found:
        sys.exit(f"no system begins with {only}; there are: {', '.join(system.name for system in SYSTEMS)}")
    return found


def plan(args: argparse.Namespace, systems: list[System]) -> list[list[Trial]]:
    """The trials of every round, each round in an order of its own."""
    chance = random.Random(args.seed)
    rounds = []
    for number in range(args.rounds):
        trials = [
            Trial(system, job, medium, _size(args, job), args.runs)
            for medium in args.media
            for job in args.jobs
            for system in systems
            if job in system.jobs and _takes_part(args, system, job, medium, number)
        ]
        chance.shuffle(trials)
        rounds.append(trials)
    return rounds


def _size(args: argparse.Namespace, job: str) -> int:
    return 400 if args.quick and job == "park" else 0


def _takes_part(args: argparse.Namespace, system: System, job: str, medium: str, number: int) -> bool:
    if job == "many":
        return number == 0 and medium == args.media[0]
    if job in ("park", "crash") and number > 0:
        return False
    return not (args.quick and system.restate and job == "park")  # it suspends a waiting run after a minute


@dataclass(frozen=True)
class Place:
    """A folder on a medium, what drivers need to know there, and the PostgreSQL whose data are in it."""

    folder: Path
    known: Mapping[str, str]
    cluster: Cluster | None

    def measured(self, trial: Trial) -> Figures:
        with self.cluster.lifted() if self.cluster and trial.system.postgres else nullcontext():
            return measured(trial, self.folder, self.known)


@contextmanager
def places(media: list[str], systems: list[System]) -> Iterator[dict[str, Place]]:
    """A folder per medium and what drivers need to know there; PostgreSQL runs meanwhile where it is needed."""
    with ExitStack() as stack:
        found = {}
        for medium in media:
            folder = Path(tempfile.mkdtemp(prefix="kubechain-bench-", dir=PLACES[medium]))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o711)
            known, cluster = {}, None
            if any(system.postgres for system in systems):
                cluster = Cluster(folder / "postgres", free_ports(1)[0])
                stack.callback(cluster.stop)
                known["BENCH_POSTGRES"] = cluster.url
            if any(system.restate for system in systems):
                known["BENCH_RESTATE"] = str(restate_server())
            found[medium] = Place(folder, known, cluster)
        yield found


def machine(folders: Mapping[str, Path]) -> dict[str, Any]:
    """What the figures were taken on."""
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1e6
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
        "sync_ms": {medium: round(syncs(folder), 4) for medium, folder in folders.items()},
    }


class Progress:
    """What has been found so far, written down after every trial: a run that is cut short keeps its figures."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.begun = args, time.monotonic()
        self.missing: dict[str, str] = {}
        self.machine: dict[str, Any] = {}
        self.taken: list[tuple[str, str, str, Figures]] = []

    def systems(self) -> list[System]:
        """Those that can be had here; the others are missing."""
        found = []
        for system in chosen(self.args.only):
            if why := system.why_missing():
                self.missing[system.name] = why
                say(self.begun, f"{system.name} is left out: {why}")
            else:
                found.append(system)
        return found

    def take(self, trial: Trial, place: Place) -> None:
        """Measures one trial."""
        try:
            figures = place.measured(trial)
        except (RuntimeError, OSError) as error:
            self.missing[str(trial)] = str(error).strip().splitlines()[-1][:200]
            print(f"failed: {error}", flush=True)
        else:
            self.taken.append((trial.job, trial.system.name, trial.medium, figures))
            print(brief(figures), flush=True)
        self.write()

    def write(self) -> report.Row:
        result = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": self.args.quick,
            "seed": self.args.seed,
            "seconds": round(time.monotonic() - self.begun),
            "machine": {**self.machine, "load_at_end": round(os.getloadavg()[0], 2)},
            "media": self.args.media,
            "systems": [system.name for system in SYSTEMS],
            "missing": self.missing,
            "rows": report.rows(self.taken),
        }
        self.args.results.parent.mkdir(exist_ok=True)
        self.args.results.write_text(json.dumps(result, indent=1) + "\n")
        return result


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress(args)
    systems = progress.systems()
    with places(args.media, systems) as where:
        progress.machine = machine({medium: place.folder for medium, place in where.items()})
        trials = [trial for trials in plan(args, systems) for trial in trials]
        for count, trial in enumerate(trials, start=1):
            say(progress.begun, f"{count}/{len(trials)} {trial}", end=" ")
            progress.take(trial, where[trial.medium])
    print(f"\n{report.table(progress.write())}\n\nwritten to {args.results}")
    return 1 if any(OURS in name for name in progress.missing) else 0


def say(begun: float, text: str, end: str = "\n") -> None:
    print(f"[{time.monotonic() - begun:4.0f} s] {text}", end=end, flush=True)


_BRIEF = (
    "ms_per_turn",
    "turns_per_s",
    "last20_ms",
    "kb_per_run",
    "resume_s",
    "done",
    "open_at_kill",
    "in_hand_at_kill",
    "unsaved_at_kill",
    "model_repeats",
    "tool_repeats",
)


def brief(figures: Figures) -> str:
    """The few figures of a progress line."""
    return ", ".join(f"{name} {figures[name]:.4g}" for name in _BRIEF if name in figures)


if __name__ == "__main__":
    sys.exit(main())
