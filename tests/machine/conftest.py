"""The node that these tests share, and the model server outside that its pods ask.

Without root, cgroup v1 or what `python -m tests.parts.machine` makes, they are skipped and say why. With CI=true,
on a machine that can run a node, they fail instead.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubechain.providers.models.scripted.server import ScriptedModel
from tests.outliving import outliving
from tests.parts.cache import PartMissing
from tests.parts.machine import images, needs
from tests.parts.machine.outside import Machine
from tests.world import kubectl_or_skip

SECONDS = 120.0


@dataclass(frozen=True)
class Node:
    """A node that takes pods; `model` answers them at `model_url`."""

    machine: Machine
    model: ScriptedModel

    @property
    def model_url(self) -> str:
        return f"{self.machine.model}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """For programs that ask kubectl's current context."""
        folder = self.machine.folder / "bin"
        folder.mkdir(exist_ok=True)
        if not (folder / "kubectl").exists():
            (folder / "kubectl").symlink_to(kubectl_or_skip("1.32"))
        path = f"{folder}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.machine.folder), "KUBECONFIG": str(self.machine.kubeconfig)}

    def run(self, *words: str | Path, stdin: str = "", **environment: str) -> str:
        """The output of a command that must succeed within SECONDS."""
        done = subprocess.run(
            words,
            input=stdin,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}{done.stdout}"
        return done.stdout

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return self.run("kubectl", *words, stdin=stdin)

    def python(self, namespace: str, name: str, account: str, code: str) -> str:
        """What a pod prints that runs this Python once, as that service account."""
        container = {"name": name, "image": images.PRODUCT, "command": ["python", "-c", code]}
        overrides = json.dumps({"spec": {"serviceAccountName": account, "containers": [container]}})
        where = f"--namespace={namespace}"
        self.kubectl(
            "run", name, where, f"--image={images.PRODUCT}", "--restart=Never", f"--overrides={overrides}"
        )
        self.kubectl("wait", f"pod/{name}", where, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        return self.kubectl("logs", name, where)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The node of this session, with our image on it."""
    if why := needs.cannot():
        pytest.skip(why)
    try:
        made = images.installed()
        with outliving(lambda: _node(made), SECONDS) as node:
            yield node
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@asynccontextmanager
async def _node(made: list[Path]) -> AsyncIterator[Node]:
    async with ScriptedModel() as model, Machine(made, model.port) as machine:
        yield Node(machine, model)
