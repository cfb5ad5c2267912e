"""What users get from each of the three ways to install: the command, kustomize, the chart. As objects."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kubechain.cli.install import install as command
from tests.parts.cache import PartMissing
from tests.parts.helm import installed
from tests.world import Said, kubectl_command, said

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart" / "kubechain"
Objects = dict[tuple[str, str, str], dict[str, Any]]


def install(*words: str) -> str:
    """What `kubechain install` prints."""
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    return done.stdout


async def kustomize(folder: Path, home: Path) -> str:
    """What `kubectl kustomize` prints."""
    words, environment = kubectl_command(
        "kustomize", str(folder), version="1.32", kubeconfig=home / "none", home=home
    )
    done = await said(words, environment)
    assert done.code == 0, done.err
    return done.out


async def helm(home: Path, *words: str, kubeconfig: Path | None = None) -> Said:
    """How helm ended; skipped where there is none, on CI a failure."""
    try:
        program = await asyncio.to_thread(installed)
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    folders = {f"HELM_{name}_HOME": str(home / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), **folders}
    return await said(
        [str(program), *words], environment | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
    )


async def template(home: Path, *words: str, namespace: str = "kubechain-system") -> str:
    """What `helm template` prints, CRDs included."""
    done = await helm(
        home, "template", "kubechain", str(CHART), "--namespace", namespace, "--include-crds", *words
    )
    assert done.code == 0, done.err
    return done.out


def objects(text: str) -> Objects:
    """The objects in a YAML by kind, namespace and name; none may be there twice."""
    found: Objects = {}
    for manifest in yaml.load_all(text, yaml.CSafeLoader):
        if manifest is not None:
            meta = manifest["metadata"]
            key = manifest["kind"], meta.get("namespace", ""), meta["name"]
            assert key not in found, key
            found[key] = manifest
    return found
