"""kustomize renames our objects, and what names them follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubechain.deploying.references import WRITTEN_BY_HAND, references
from kubechain.resources.kind import Kind
from tests.deploy.printed import DEPLOY, ROOT, kustomize, objects

NAMING = re.compile(r"Name of the (object|Secret|[A-Z]\w+)\b")
WALKTHROUGH = ROOT / "kubechain-example" / "walkthrough"
MORE = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Tool
metadata: {name: dice}
spec: {function: {entrypoint: "dice:roll", env: [{name: KEY, valueFrom: {secretKeyRef: {name: openai, key: K}}}]}}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {name: files}
spec: {transport: stdio, command: x, env: [{name: KEY, valueFrom: {secretKeyRef: {name: openai, key: K}}}]}
---
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: Agent
metadata: {name: player}
spec: {llmRef: {name: gpt-4o}, tools: [{name: dice}, {name: not-here}], mcpServers: [{name: files}], system: s}
"""


@pytest.fixture(params=["components", "resources"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The walk-through and more, to be renamed, with our references brought in one of two ways."""
    names = []
    for manifest in sorted(WALKTHROUGH.glob("*.yaml")):
        (tmp_path / manifest.name).write_text(manifest.read_text())
        names.append(manifest.name)
    (tmp_path / "more.yaml").write_text(MORE)
    kustomization: dict[str, Any] = {
        "namePrefix": "x-",
        "nameSuffix": "-y",
        "resources": [*names, "more.yaml"],
        "secretGenerator": [{"name": "openai", "literals": ["OPENAI_API_KEY=any"]}],
    }
    if request.param == "components":
        kustomization["components"] = [_beside(DEPLOY / "references", tmp_path)]
    else:
        kustomization["resources"].append(_beside(DEPLOY / "crds", tmp_path))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return tmp_path


def _beside(folder: Path, place: Path) -> str:
    return str(Path(*[".."] * (len(place.parts) - 1), *folder.parts[1:]))


async def test_references_follow_what_kustomize_renames(project: Path) -> None:
    found = objects(await kustomize(project, project))
    (secret,) = [name for kind, _, name in found if kind == "Secret"]
    assert secret.startswith("x-openai-y-")

    def spec(kind: str, name: str) -> Any:
        return found[kind, "", f"x-{name}-y"]["spec"]

    assert spec("TaskRun", "hello-world-run")["task"] == "x-hello-world-task-y"
    assert spec("Task", "hello-world-task")["agent"] == "x-my-assistant-y"
    assert spec("Agent", "my-assistant")["llmRef"]["name"] == "x-gpt-4o-y"
    assert spec("LLM", "gpt-4o")["apiKeyFrom"]["secretKeyRef"]["name"] == secret
    player = spec("Agent", "player")
    assert player["tools"] == [{"name": "x-dice-y"}, {"name": "not-here"}]
    assert player["mcpServers"] == [{"name": "x-files-y"}]
    for holder in (spec("MCPServer", "files"), spec("Tool", "dice")["function"]):
        assert holder["env"][0]["valueFrom"]["secretKeyRef"]["name"] == secret


@pytest.mark.parametrize("kind", WRITTEN_BY_HAND, ids=lambda kind: kind.kind)
def test_every_field_that_names_an_object_is_a_reference(kind: Kind[Any]) -> None:
    """Such a field says so in its description."""
    known = {path for holder, path, _ in references() if holder == kind}
    properties = kind.schema["properties"]
    assert isinstance(properties, dict)
    assert set(_naming(properties["spec"], "spec")) == known


def _naming(schema: Any, path: str) -> Iterator[str]:
    if NAMING.match(schema.get("description", "")):
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _naming(inner, f"{path}/{name}")
    if "items" in schema:
        yield from _naming(schema["items"], path)
