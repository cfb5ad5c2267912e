"""Metrics of `kubechain up`: its API server shows them to whoever may get that path."""

from __future__ import annotations

from pathlib import Path

from tests.story import manifests, metrics
from tests.story.conftest import FUNCTIONS
from tests.story.program import Story, story


async def scrape(running: Story, account: str) -> tuple[int, str]:
    token = await running.ok("create", "token", account)
    said = await running.kubectl("get", "--raw", "/metrics", f"--token={token.strip()}")
    return said.code, said.out + said.err


async def test_the_numbers_of_a_run_are_those_that_the_run_shows(tmp_path: Path) -> None:
    async with story(tmp_path, functions=(FUNCTIONS,)) as running:
        documents = [manifests.SECRET, *manifests.walkthrough().values()]
        await running.ok("apply", "-f", "-", stdin="\n---\n".join(documents))
        await running.finished("hello-world-run")
        found = metrics.numbers(await running.ok("get", "--raw", "/metrics"))
    metrics.of_the_walkthrough(found, "default")


async def test_a_namespace_that_is_deleted_leaves_no_series_of_its_runs(tmp_path: Path) -> None:
    async with story(tmp_path, functions=(FUNCTIONS,)) as running:
        await running.ok("create", "namespace", "team-a")
        waiting = manifests.walkthrough()["taskrun"]
        await running.ok("apply", "--namespace=team-a", "-f", "-", stdin=waiting)
        await running.ok(
            "wait", "--namespace=team-a", "taskrun", "--all", "--for=jsonpath={.status.phase}=Pending"
        )
        before = metrics.numbers(await running.ok("get", "--raw", "/metrics"))
        assert before['kubechain_taskruns{namespace="team-a",phase="Pending"}'] == 1
        await running.ok("delete", "namespace", "team-a")
        after = metrics.numbers(await running.ok("get", "--raw", "/metrics"))
    assert not [series for series in after if 'kubechain_taskruns{namespace="team-a"' in series]


async def test_metrics_are_for_those_who_may_get_the_path(tmp_path: Path) -> None:
    async with story(tmp_path) as running:
        for account in ("prometheus", "stranger"):
            await running.ok("create", "serviceaccount", account)
        binding = ("--clusterrole=kubechain-metrics-reader", "--serviceaccount=default:prometheus")
        await running.ok("create", "clusterrolebinding", "prometheus", *binding)
        code, said = await scrape(running, "prometheus")
        assert (code, "kubechain_build_info" in said) == (0, True), said
        code, said = await scrape(running, "stranger")
        assert code != 0
        assert "Forbidden" in said
