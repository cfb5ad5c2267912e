"""The benchmark measures what it says: the model server counts, the floor and KubeChain do the same job."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench import replicas, report
from bench.inflight import in_flight
from bench.job import TOOLS, Shape, asked, shape_of
from bench.process import Model
from bench.quota import limits, quota
from kubechain.deploying.settings import InstallSettings

BENCH = Path(report.__file__).parent
IN_EVERY_ENVIRONMENT = ("arguments", "chat", "inflight", "job", "jobs", "process", "peers/drive", "peers/postgres")
SECONDS = 60.0


def ask(model: Model, body: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(  # noqa: S310
        f"{model.url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        message: dict[str, object] = json.load(answer)["choices"][0]["message"]
        return message


async def figures(folder: Path, *words: str) -> dict[str, float]:
    """What a driver says of a small job."""
    async with asyncio.timeout(SECONDS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, "--turns", "3", "--runs", "1", "--dir", str(folder / "data"),
            stdout=asyncio.subprocess.PIPE, cwd=BENCH.parent, env={**os.environ, "PYTHONPATH": str(BENCH.parent)},
        )  # fmt: skip
        out, _ = await process.communicate()
    found: dict[str, float] = json.loads(out)
    return found


def test_a_shape_is_the_name_of_its_model() -> None:
    shape = Shape(20, 2048, 50)
    assert shape_of(shape.model) == shape
    with pytest.raises(ValueError, match="gpt-4o"):
        shape_of("gpt-4o")


def test_the_model_server_calls_the_tool_until_the_last_turn_and_counts_what_is_asked_twice(
    tmp_path: Path,
) -> None:
    shape = Shape(2)
    with Model(tmp_path / "log") as model:
        messages = [asked("a")]
        first = ask(model, {"model": shape.model, "messages": messages, "tools": TOOLS})
        again = ask(model, {"model": shape.model, "messages": messages, "tools": TOOLS})
        messages += [first, {"role": "tool", "tool_call_id": "call_0", "content": "x"}]
        last = ask(model, {"model": shape.model, "messages": messages, "tools": TOOLS})
        stats = model.ask("/stats")
        turns = [n for n, _ in model.ask("/times?run=a")]
    assert first == again and first["tool_calls"]
    assert last["content"] == shape.answer
    assert (stats["total"], stats["distinct"], stats["repeated"]) == (3, 2, 1)
    assert turns == [0, 0, 1]


def test_what_was_in_flight_at_a_kill_is_told_by_the_model_server_and_the_tools_journal(tmp_path: Path) -> None:
    shape, journal = Shape(2, wait=50), tmp_path / "journal"
    with Model(tmp_path / "log") as model:
        ask(model, {"model": shape.model, "messages": [asked("a")], "tools": TOOLS})
        ((_, _, began, replied),) = model.ask("/calls")
        on_its_way = in_flight(model.url, journal, began - 0.001)
        meanwhile = in_flight(model.url, journal, began + 0.025)
        after = in_flight(model.url, journal, replied)
        journal.write_text("a 0\n")
        acted_upon = in_flight(model.url, journal, replied)
    assert on_its_way == meanwhile == {"asked_at_kill": 1, "open_at_kill": 1, "in_hand_at_kill": 0}
    assert after == {"asked_at_kill": 1, "open_at_kill": 0, "in_hand_at_kill": 1}
    assert acted_upon == {"asked_at_kill": 1, "open_at_kill": 0, "in_hand_at_kill": 0}


@pytest.mark.parametrize("words", [("bench.floor", "seq", "--store", "sqlite"), ("bench.ours", "seq")])
async def test_each_driver_carries_a_run_to_its_answer(tmp_path: Path, words: tuple[str, ...]) -> None:
    with Model(tmp_path / "log") as model:
        found = await figures(tmp_path, *words, "--model", model.url)
        stats = model.ask("/stats")
    assert found["ms_per_turn"] > 0
    assert stats["total"] == stats["distinct"] == stats["runs"] * 3


def test_rows_are_medians_with_their_distance_to_the_floor_and_their_ratio_to_ours() -> None:
    rounds: list[tuple[str, str, str, Mapping[str, Any]]] = [
        ("seq", "floor", "tmp", {"ms_per_turn": 1.0}),
        ("seq", "kubechain", "tmp", {"ms_per_turn": 2.0, "all": [2.0, 9.0]}),
        ("seq", "kubechain", "tmp", {"ms_per_turn": 4.0, "all": [1.0]}),
        ("tput", "kubechain", "tmp", {"turns_per_s": 300.0}),
        ("tput", "restate", "tmp", {"turns_per_s": 100.0}),
    ]
    rows = {(row["job"], row["system"]): row for row in report.rows(rounds)}
    ours = rows["seq", "kubechain"]
    assert (ours["ms_per_turn"], ours["overhead_ms"], ours["rounds"]) == (3.0, 2.0, 2)
    assert (ours["least"], ours["most"]) == (1.0, 9.0)
    assert rows["tput", "restate"]["ours_is_times"] == 3.0


@pytest.mark.parametrize("module", IN_EVERY_ENVIRONMENT)
def test_what_the_peers_import_needs_nothing_of_ours(module: str) -> None:
    tree = ast.parse((BENCH / f"{module}.py").read_text())
    imported = {n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    outside = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"bench", "aiohttp"}
    assert not outside


def test_replicas_are_measured_with_the_cpu_that_their_pods_request() -> None:
    assert dict(InstallSettings().requests) == {"cpu": f"{replicas.CPU * 1000:.0f}m", "memory": "256Mi"}


def test_a_quota_is_said_in_the_words_of_either_version_of_cgroups(tmp_path: Path) -> None:
    first, second = tmp_path / "v1", tmp_path / "v2"
    for file in (first / "cpu/cpu.cfs_quota_us", second / "cgroup.subtree_control"):
        file.parent.mkdir(parents=True)
        file.write_text("cpuset cpu io memory")
    assert limits(0.1, first) == (first / "cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "10000"})
    assert limits(1.5, second) == (second, {"cpu.max": "150000 100000"})
    with pytest.raises(RuntimeError, match=r"no cgroups that limit CPU: .*--cpu 0"):
        limits(0.1, tmp_path)


def test_a_process_is_in_its_quota_until_the_end_or_the_machine_is_said_to_allow_none() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            with quota(0.5) as made:
                made.hold([process.pid])
                assert str(process.pid) in (made.folder / "cgroup.procs").read_text().split()
                assert made.periods() >= (0, 0)
            assert not made.folder.exists() and process.poll() is None
        except RuntimeError as refused:
            assert "without a quota" in str(refused)
        finally:
            process.kill()
