"""What kustomize reads in deploy/: what `kubechain install` prints, in pieces, and how our kinds name each other.

Called by `python -m kubechain.deploying.kustomize deploy` and by the test that holds the files current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from kubechain.deploying import manifests, references, workload
from kubechain.deploying.settings import NAMESPACE, InstallSettings
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.registry import OURS

HEAD = "# Written by `make generate` from src/kubechain/deploying.\n"
EVERYWHERE = InstallSettings()
IN_ITS_OWN = InstallSettings(watch=NAMESPACE)
"""What the two overlays are: they print what `kubechain install` prints with these."""
_COMPONENT: JsonObject = {
    "apiVersion": "kustomize.config.k8s.io/v1alpha1",
    "kind": "Component",
    "configurations": ["references.yaml"],
}


def files() -> dict[str, str]:
    """Path below deploy/ -> content."""
    made = {
        "crds/Kustomization": _kustomization(
            [f"{kind.plural}.yaml" for kind in OURS], components=["../references"]
        ),
        "references/kustomization.yaml": HEAD + manifests.yaml_of(_COMPONENT),
        "references/references.yaml": HEAD + manifests.yaml_of(references.configuration()),
    }
    pieces = {f"{str(obj['kind']).lower()}.yaml": [obj] for obj in manifests.program(EVERYWHERE)}
    pieces["roles.yaml"] = manifests.roles(EVERYWHERE)
    made |= _folder("operator/base", ["../../crds"], pieces)
    made |= _folder(
        "operator/cluster-wide",
        ["../base"],
        {"namespace.yaml": [workload.namespace(EVERYWHERE)], "rights.yaml": manifests.rights(EVERYWHERE)},
    )
    made |= _folder(
        "operator/namespaced", ["../base"], {"rights.yaml": manifests.rights(IN_ITS_OWN)}, _arguments(IN_ITS_OWN)
    )
    return made


def write(folder: Path) -> None:
    """All of them below the folder."""
    for path, content in files().items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")


def _folder(
    path: str, others: Iterable[str], pieces: dict[str, list[JsonObject]], patch: JsonObject | None = None
) -> dict[str, str]:
    """A folder that kustomize can build: its pieces after those of other folders."""
    made = {f"{path}/{name}": HEAD + manifests.document(objects) for name, objects in pieces.items()}
    made[f"{path}/kustomization.yaml"] = _kustomization([*others, *pieces], patch)
    return made


def _kustomization(
    resources: Iterable[str], patch: JsonObject | None = None, components: Iterable[JsonValue] = ()
) -> str:
    kustomization: JsonObject = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*resources],
    }
    if named := [*components]:
        kustomization["components"] = named
    if patch is not None:
        kustomization["patches"] = [patch]
    return HEAD + manifests.yaml_of(kustomization)


def _arguments(settings: InstallSettings) -> JsonObject:
    """The patch that gives the operator other arguments than the base."""
    change: JsonObject = {
        "op": "replace",
        "path": "/spec/template/spec/containers/0/args",
        "value": workload.arguments(settings),
    }
    return {"target": {"kind": "Deployment", "name": settings.name}, "patch": manifests.yaml_of([change])}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
