"""Replicas over a real Kubernetes: two that share, three that are killed, cut off, ended. Small, for CI."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.job import Shape
from tests.kubernetes import Kubernetes
from tests.replicas.drama import Plan, drama, played

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(400)]


async def test_replicas_killed_and_cut_off_with_runs_in_flight_finish_them_all_and_double_nothing(
    kubernetes: Kubernetes, tmp_path: Path
) -> None:
    plan = Plan(runs=40, shape=Shape(5, 16, 1000), duration=9, kills=3, cut=10, seconds=300)
    report = await played(plan, kubernetes.kubeconfig, tmp_path)
    print("\n".join(report.lines()))
    assert (report.wrong, report.doubled) == ([], [])
    assert (report.kills, report.cuts, len(report.by_lease), len(report.clean)) == (3, 1, 2, 1)


async def test_two_replicas_each_carry_a_part_of_the_runs_and_no_run_is_carried_by_both(
    kubernetes: Kubernetes, tmp_path: Path
) -> None:
    plan = Plan(runs=40, shape=Shape(3, 16, 50), duration=12, tool=0)
    async with asyncio.timeout(200), drama(plan, kubernetes.kubeconfig, tmp_path) as play:
        await play.prepare(2)
        names = await play.begin("run", plan.runs)
        await play.finished(names)
        await play.judge(names)
    first, second = play.report.carried.values()
    print(f"runs of each: {len(first)}, {len(second)}")
    assert first and second and first.isdisjoint(second)
    assert first | second == set(names)
    assert (play.report.wrong, play.report.doubled) == ([], [])
