"""`python -m tests.chaos --seeds 0:5000`: runs a range of worlds and prints what came of them.

Every world that fails is printed with the command that plays it again. Exits 1 when one did, or when the model was
asked too often on average.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.chaos.judges import necessary, pass_ceiling, verdict
from tests.chaos.world import Past, run

SHOWN = 50
"""Failing worlds that are told in full; all are in `Summary.failures`."""
CALLS = 1.1
"""Replies paid for per reply kept, on average over worlds, kills aside."""


@dataclass
class Summary:
    """What came of a range of worlds."""

    worlds: int = 0
    failures: dict[int, list[str]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    lost: int = 0
    excused: int = 0
    asked: int = 0
    started: int = 0
    kills: int = 0
    fullest: float = 0.0
    """The most passes a world needed, as a part of its ceiling."""

    @property
    def ratio(self) -> float:
        """Replies paid for, those lost to a kill aside, per reply kept."""
        return (self.kept + self.lost - self.excused) / max(1, self.kept)

    def add(self, seed: int, past: Past) -> None:
        """Takes one world in."""
        self.worlds += 1
        if wrong := verdict(past):
            self.failures[seed] = wrong
        kept, lost, excused = necessary(past)
        self.kept, self.lost, self.excused = self.kept + kept, self.lost + lost, self.excused + excused
        self.faults.update(past.weather.tally)
        self.phases.update(r.status.phase or "" for r in past.runs)
        self.calls.update(c.status.phase or "" for c in past.calls)
        self.asked += len(past.models.asked)
        self.started += len(past.tools.ran)
        self.kills += past.fate.stopped
        self.fullest = max(self.fullest, past.passes / pass_ceiling(past))

    def join(self, other: Summary) -> None:
        """Takes the worlds of another range in."""
        self.worlds += other.worlds
        self.failures |= other.failures
        for mine, theirs in ((self.faults, other.faults), (self.phases, other.phases), (self.calls, other.calls)):
            mine.update(theirs)
        for name in ("kept", "lost", "excused", "asked", "started", "kills"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fullest = max(self.fullest, other.fullest)

    def lines(self) -> Iterator[str]:
        """The summary, line by line, failures last."""
        yield f"{self.worlds} worlds, {len(self.failures)} failed; {self.kills} processes stopped"
        yield f"runs: {_counts(self.phases)}; tool calls: {_counts(self.calls)}"
        lost = f"{self.lost} lost ({self.excused} to kills)"
        yield f"model: asked {self.asked} times, {self.kept} replies kept, {lost}"
        yield f"replies paid for per reply kept, kills aside: {self.ratio:.4f} (at most {CALLS})"
        yield f"tools: started {self.started} times; passes: at most {self.fullest:.0%} of the ceiling"
        yield f"faults: {self.faults.total()}: {_counts(self.faults)}"
        for seed, wrong in sorted(self.failures.items())[:SHOWN]:
            yield f"seed {seed} failed; play it again: python -m tests.chaos --seeds {seed}"
            yield from (f"    {sentence}" for sentence in wrong)


def summary(seeds: Iterable[int]) -> Summary:
    """Runs the worlds, one after the other."""
    made = Summary()
    for seed in seeds:
        try:
            made.add(seed, run(seed))
        except Exception as error:  # whatever it is, the other worlds are to be seen too
            made.worlds += 1
            made.failures[seed] = [f"the world broke: {type(error).__name__}: {error}"]
    return made


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counter.items()))


def _seeds(text: str) -> range:
    first, _, after = text.partition(":")
    return range(int(first), int(after) if after else int(first) + 1)


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=range(100), help="one seed, or FIRST:AFTER")
    parser.add_argument("--tell", action="store_true", help="print what happened in the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="worlds at the same time")
    given = parser.parse_args()
    if given.tell:
        past = run(given.seeds[0])
        print("\n".join([*past.fate.diary, *verdict(past)]))
        return 0
    begun, whole = time.perf_counter(), Summary()
    if given.jobs == 1:
        whole = summary(given.seeds)
    else:
        with ProcessPoolExecutor(given.jobs) as pool:
            step = max(1, min(100, len(given.seeds) // given.jobs))
            parts = [given.seeds[at : at + step] for at in range(0, len(given.seeds), step)]
            for part in pool.map(summary, parts):
                whole.join(part)
    seconds = time.perf_counter() - begun
    print("\n".join(whole.lines()))
    print(f"{seconds:.1f} s, {whole.worlds / seconds:.1f} worlds/s")
    return 1 if whole.failures or whole.ratio > CALLS else 0


if __name__ == "__main__":
    sys.exit(main())
