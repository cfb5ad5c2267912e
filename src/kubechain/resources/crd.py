"""Our kinds as CustomResourceDefinitions, the form in which a real API server learns them.

Called by `make crds`, by the embedded server's read-only CRD list and by the test that holds
`deploy/crds` current. Never reads a cluster.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Column, Kind
from kubechain.resources.registry import OURS


def definition(kind: Kind[Any]) -> JsonObject:
    """The CRD manifest of one of our kinds."""
    names: JsonObject = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "categories": list(kind.categories),
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.qualified},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind[Any]) -> JsonObject:
    version: JsonObject = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": kind.schema},
        "additionalPrinterColumns": [_column(c) for c in kind.columns],
    }
    if kind.has_status:
        version["subresources"] = {"status": {}}
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": f".{path}"} for path in kind.selectable]
    return version


def _column(column: Column) -> JsonValue:
    out: JsonObject = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        out["description"] = column.description
    if column.wide:
        out["priority"] = 1
    return out


def write(folder: Path) -> None:
    """One YAML file per kind of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in OURS:
        (folder / f"{kind.plural}.yaml").write_text(document(kind))


def document(kind: Kind[Any]) -> str:
    """The CRD as YAML."""
    import yaml  # `up` is spared it

    return yaml.safe_dump(definition(kind), sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
