"""What a system had in flight when it was killed, as it is seen from outside: the same measure for every system.

Called after the kill and before the restart, by ours_lost.py and trial.py. Needs the standard library alone.
"""

from __future__ import annotations

from pathlib import Path

from bench.process import get


def in_flight(model: str, journal: Path, killed: float) -> dict[str, int]:
    """Model calls without a reply at the kill (a time.perf_counter()), and replies whose tool had not begun.

    A call that was on its way at the kill reaches the model server after it, and is one of them: nobody else asks
    before the restart. A reply in hand may have been saved or not: that cannot be told from outside. `model`: the
    model server's URL.
    """
    calls = get(f"{model}/calls")
    replied = [call for call in calls if 0 < call[3] <= killed]
    began = set(lines(journal))
    return {
        "asked_at_kill": len({(run, n) for run, n, _, _ in calls}),
        "open_at_kill": len(calls) - len(replied),
        "in_hand_at_kill": sum(f"{run} {n}" not in began for run, n, _, _ in replied),
    }


def lines(journal: Path) -> list[str]:
    """What the tool noted so far: `RUN N` for every execution."""
    return journal.read_text().split("\n")[:-1] if journal.exists() else []
