"""Three replicas over a real Kubernetes: killed, cut off, ended, with runs in flight. Small, for CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.job import Shape
from tests.kubernetes import Kubernetes
from tests.replicas.drama import Plan, played

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(400)]


async def test_replicas_killed_and_cut_off_with_runs_in_flight_finish_them_all_and_double_nothing(
    kubernetes: Kubernetes, tmp_path: Path
) -> None:
    plan = Plan(runs=40, shape=Shape(5, 16, 1000), duration=9, kills=3, cut=10, seconds=300)
    report = await played(plan, kubernetes.kubeconfig, tmp_path)
    print("\n".join(report.lines()))
    assert (report.wrong, report.doubled) == ([], [])
    assert (report.kills, report.cuts, len(report.by_lease), len(report.clean)) == (3, 1, 2, 1)
