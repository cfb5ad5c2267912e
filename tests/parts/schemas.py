"""The published JSON schemas of Kubernetes' own kinds, strict: what PyPI's kubernetes-validate holds.

Tests of deploy/ call it. `python -m tests.parts.schemas` installs by hand; it takes seconds.
"""

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.parts.cache import PartMissing, announce, install_wheel, once

WHEEL = "1.37.0"
STRICT = "kubernetes_validate/kubernetes-json-schema/*-local-strict/_definitions.json"


@functools.cache
def definitions(version: str) -> dict[str, Any]:
    """Name -> schema of every type of a minor version ("1.32"). Raises PartMissing."""
    folder = once(f"schemas/{WHEEL}", fetch)
    found = folder / f"{version}.json"
    if not found.is_file():
        held = ", ".join(sorted(path.stem for path in folder.glob("*.json")))
        raise PartMissing(f"kubernetes-validate {WHEEL} holds no schemas of {version}, but of {held}")
    known: dict[str, Any] = json.loads(found.read_text())["$defs"]
    return known


def fetch(folder: Path) -> None:
    """Put one file for each minor version into the folder."""
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        install_wheel(f"kubernetes-validate=={WHEEL}", Path(unpacked))
        for path in Path(unpacked).glob(STRICT):
            minor = ".".join(path.parent.name.removeprefix("v").split(".")[:2])
            shutil.copyfile(path, folder / f"{minor}.json")


@functools.cache
def validator(version: str, api_version: str, kind: str) -> Any:
    """The validator of one kind. Raises LookupError where that version does not know the kind."""
    group, _, name = api_version.rpartition("/")
    wanted = {"group": group, "kind": kind, "version": name}
    known = definitions(version)
    for title, schema in known.items():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return jsonschema_rs.validator_for({"$ref": f"#/$defs/{title}", "$defs": known})
    raise LookupError(f"Kubernetes {version} has no {kind} in {api_version}")


def faults(version: str, manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a manifest, a sentence each."""
    check = validator(version, manifest["apiVersion"], manifest["kind"])
    return [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in check.iter_errors(manifest)]


if __name__ == "__main__":
    announce(f"schemas of {len(definitions('1.36'))} types of Kubernetes 1.36")
