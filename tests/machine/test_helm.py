"""The chart on a real node: an operator of one namespace, told by its values alone, carries the walk-through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.printed import CHART, ROOT, install
from tests.machine.conftest import SECONDS, Node
from tests.parts.cache import PartMissing
from tests.parts.helm import installed

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2 * SECONDS)]
TEAM = "--namespace=team"


def helm_or_skip() -> Path:
    try:
        return installed()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


def test_the_chart_carries_the_walk_through_in_its_namespace_and_leaves_nothing_but_the_kinds(node: Node) -> None:
    helm = helm_or_skip()
    node.kubectl("apply", "--server-side", "--filename=-", stdin=install("--crds"))
    node.kubectl("create", "namespace", "team")
    node.kubectl("label", "namespace", "team", "pod-security.kubernetes.io/enforce=restricted")
    node.kubectl("create", TEAM, "secret", "generic", "openai", "--from-literal=OPENAI_API_KEY=any")
    team = "watchNamespace=team,secrets.team={openai},samples={team},log.format=json"
    values = f"{team},baseURLs.openai={node.model_url}"
    flags = ("--skip-crds", "--wait", "--timeout=90s")
    node.run(helm, "install", "kubechain", CHART, TEAM, "--set", values, *flags)
    node.kubectl("apply", TEAM, "--filename", str(ROOT / "kubechain-example" / "walkthrough"))
    finished = ("--for=jsonpath={.status.phase}=FinalAnswer", "--timeout=60s")
    node.kubectl("wait", TEAM, "taskrun/hello-world-run", *finished)
    logged = node.kubectl("logs", TEAM, "deployment/kubechain").splitlines()
    assert [line for line in logged if not line.startswith("{")] == []
    node.run(helm, "uninstall", "kubechain", TEAM, "--wait")
    left = node.kubectl("get", TEAM, "deployments,roles,rolebindings,services,networkpolicies,tools", "-o", "name")
    assert left == ""
    assert node.kubectl("get", TEAM, "taskruns", "-o", "name").strip().endswith("/hello-world-run")
