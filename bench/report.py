"""Rounds of figures -> one row per job, system and medium, and the table that people read.

`python -m bench.report` prints the table of bench/results/latest.json; `--into FILE` puts it between the marks
of a page. Pure but for that.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from bench.systems import FLOOR, OURS

LATEST = Path(__file__).parent / "results" / "latest.json"
Row = dict[str, Any]
MEDIA = {"tmp": "tmpfs", "disk": "disk"}


def rows(rounds: Sequence[tuple[str, str, str, Mapping[str, Any]]]) -> list[Row]:
    """Medians over rounds of (job, system, medium, figures); overheads over the floor; ratios to ours."""
    gathered: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for job, system, medium, figures in rounds:
        gathered[job, system, medium].append(figures)
    found = [_row(*key, figures) for key, figures in gathered.items()]
    by_key = {(row["job"], row["system"], row["medium"]): row for row in found}
    for row in found:
        _compare(
            row, by_key.get((row["job"], FLOOR, row["medium"])), by_key.get((row["job"], OURS, row["medium"]))
        )
    return sorted(found, key=lambda row: (row["job"], row["medium"], row["system"]))


def _row(job: str, system: str, medium: str, figures: Sequence[Mapping[str, Any]]) -> Row:
    row: Row = {"job": job, "system": system, "medium": medium, "rounds": len(figures)}
    for name in sorted(set().union(*figures)):
        values = [one[name] for one in figures if name in one]
        if name.startswith("written_") and not any(values):  # the kernel counts bytes for disks alone
            continue
        if name == "all":
            every = [value for one in values for value in one]
            row |= {"least": round(min(every), 3), "most": round(max(every), 3)}
        else:
            row[name] = round(statistics.median(values), 3)
    return row


def _compare(row: Row, floor: Row | None, ours: Row | None) -> None:
    for name, over in (("ms_per_turn", "overhead_ms"), ("last20_ms", "last20_overhead_ms")):
        if floor is not None and name in row:
            row[over] = round(row[name] - floor[name], 3)
    if ours is not None and "turns_per_s" in row:
        row["ours_is_times"] = round(ours["turns_per_s"] / row["turns_per_s"], 2)


COLUMNS = (
    ("seq: ms a turn", "seq", "ms_per_turn", 2),
    ("over the floor", "seq", "overhead_ms", 2),
    ("tput: turns/s", "tput", "turns_per_s", 0),
    ("grow: last 20, ms", "grow", "last20_ms", 2),
    ("over the floor", "grow", "last20_overhead_ms", 2),
    ("MB written", "grow", "written_mb", 1),
    ("park: KB a run", "park", "kb_per_run", 1),
    ("after a restart", "park", "kb_per_run_restarted", 1),
    ("idle CPU", "park", "idle_cpu", 3),
    ("restart, s", "park", "ready_s", 2),
    ("approve all, s", "park", "resume_s", 1),
    ("crash: done", "crash", "done", 0),
    ("model calls open at the kill", "crash", "open_at_kill", 0),
    ("replies in hand", "crash", "in_hand_at_kill", 0),
    ("not saved", "crash", "unsaved_at_kill", 0),
    ("model calls repeated", "crash", "model_repeats", 0),
    ("tool runs repeated", "crash", "tool_repeats", 0),
    ("to the end, s", "crash", "finish_s", 1),
)


def table(report: Mapping[str, Any]) -> str:
    """The rows as Markdown, one table per medium."""
    by_key = {(row["job"], row["system"], row["medium"]): row for row in report["rows"]}
    names = [name for name in report["systems"] if any(key[1] == name for key in by_key)]
    parts = []
    for medium in report["media"]:
        shown = [column for column in COLUMNS if any((column[1], name, medium) in by_key for name in names)]
        sync = report["machine"]["sync_ms"][medium]
        lines = [f"**{MEDIA[medium]}** (4 KiB written and synced in {sync:.3f} ms)", ""]
        lines.append("| system | " + " | ".join(column[0] for column in shown) + " |")
        lines.append("|---" * (len(shown) + 1) + "|")
        for name in names:
            cells = [_cell(by_key.get((job, name, medium)), figure, digits) for _, job, figure, digits in shown]
            if any(cell != "-" for cell in cells):
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    parts += [fill(_many(row), 118) for row in report["rows"] if row["job"] == "many"]
    parts += [fill(f"Not measured: {name}: {why}.", 118) for name, why in report["missing"].items()]
    parts.append(fill(_taken(report), 118))
    return "\n\n".join(parts)


def _taken(report: Mapping[str, Any]) -> str:
    machine, quick = report["machine"], " (--quick)" if report["quick"] else ""
    return (
        f"Taken {report['at'][:10]} in {report['seconds'] / 60:.0f} minutes{quick} on {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, Linux {machine['kernel']}, Python {machine['python']}; load average "
        f"{machine['load_at_start']:.1f} at the start, {machine['load_at_end']:.1f} at the end."
    )


def _cell(row: Row | None, figure: str, digits: int) -> str:
    value = None if row is None else row.get(figure)
    return "-" if value is None else f"{value:,.{digits}f}"


def _many(row: Row) -> str:
    kubectl = f", with kubectl {row['kubectl_list_s']:.1f} s" if "kubectl_list_s" in row else ""
    return (
        f"{row['n']:,.0f} parked runs in one KubeChain on {MEDIA[row['medium']]}: "
        f"{row['memory_mb']:.0f} MB in all, "
        f"{row['kb_per_run']:.1f} KB a run, idle CPU {row['idle_cpu']:.3f}; a list of all in pages of 500 takes "
        f"{row['list_s']:.1f} s{kubectl}."
    )


def into(page: Path, mark: str, text: str) -> None:
    """Replaces what stands between the two marks of that name in a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--into", type=Path, metavar="PAGE")
    args = parser.parse_args()
    report = json.loads(args.file.read_text())
    if args.into:
        into(args.into, "figures", table(report))
    else:
        print(table(report))


if __name__ == "__main__":
    main()
