"""One measurement: one system, one job, one medium, from an empty folder to its figures. Nothing runs on after it.

Called by the orchestrator. Systems that cannot be killed by their own driver are killed and restarted here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arguments import DEFAULTS
from bench.inflight import in_flight, lines
from bench.process import Child, Model
from bench.systems import System

Figures = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What is measured, and with how many runs at once (0: as many as the job has)."""

    system: System
    job: str
    medium: str
    n: int = 0
    runs: int = 5

    def __str__(self) -> str:
        return f"{self.job} on {self.medium}: {self.system.name}"

    @property
    def size(self) -> int:
        return self.n or DEFAULTS[self.job][3]

    def words(self, folder: Path, model: str, *more: str) -> list[str | Path]:
        words = [*self.system.words(), self.job, "--dir", folder, "--model", model]
        return [*words, "--n", str(self.size), "--runs", str(self.runs), *more]


def measured(trial: Trial, place: Path, environment: Mapping[str, str]) -> Figures:
    """The figures of one trial. Raises RuntimeError with the last words of a driver that failed."""
    folder = place / "data"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with Model(place / "model.log") as model:
            if trial.system.alone or trial.job not in ("park", "crash"):
                return _line(trial.words(folder, model.url), place, environment)
            if trial.job == "park":
                return _parked(trial, folder, model, environment)
            return _crashed(trial, folder, model, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _driver(words: Sequence[str | Path], place: Path, environment: Mapping[str, str]) -> Child:
    log = place / "driver.log"
    log.unlink(missing_ok=True)
    return Child(words, log, environment)


def _line(words: Sequence[str | Path], place: Path, environment: Mapping[str, str]) -> Figures:
    with _driver(words, place, environment) as driver:
        return driver.line()


def _parked(trial: Trial, folder: Path, model: Model, environment: Mapping[str, str]) -> Figures:
    with _driver(trial.words(folder, model.url), folder.parent, environment) as driver:
        found = driver.line()
        driver.kill()
    begun = time.perf_counter()
    with _driver(trial.words(folder, model.url, "--again"), folder.parent, environment) as driver:
        driver.line()
        found["ready_s"] = time.perf_counter() - begun
        found |= driver.line()
    return found | {"n": trial.size, "model_repeats": model.ask("/stats")["repeated"]}


def _crashed(trial: Trial, folder: Path, model: Model, environment: Mapping[str, str]) -> Figures:
    journal = folder.parent / "journal"
    journal.unlink(missing_ok=True)
    known = {**environment, "BENCH_JOURNAL": str(journal)}
    turns = DEFAULTS["crash"][0]
    with _driver(trial.words(folder, model.url), folder.parent, known) as driver:
        driver.line()
        while model.ask("/stats")["total"] < trial.size * turns // 2:
            time.sleep(0.005)
        driver.kill()
    flight = in_flight(model.url, journal, driver.killed)
    begun = time.perf_counter()
    with _driver(trial.words(folder, model.url, "--again"), folder.parent, known) as driver:
        driver.line()
        ready = time.perf_counter() - begun
        done = driver.line()["done"]
        seconds = time.perf_counter() - begun
    ran = Counter(lines(journal))
    return {
        "n": trial.size,
        "done": done,
        **flight,
        "model_repeats": model.ask("/stats")["repeated"],
        "tool_repeats": ran.total() - len(ran),
        "ready_s": ready,
        "finish_s": seconds,
    }


def syncs(folder: Path, times: int = 200) -> float:
    """Milliseconds that writing 4 KiB and forcing it to the medium takes, the median."""
    path, taken = folder / "sync", []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(times):
            begun = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - begun) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return sorted(taken)[times // 2]
