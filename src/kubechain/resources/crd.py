"""Our kinds as CustomResourceDefinitions, the form in which a real API server learns them.

Called by `make crds`, by the embedded server's read-only CRD list and by the test that holds
`deploy/crds` current. Never reads a cluster.
"""

from __future__ import annotations

from typing import Any

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Column, Kind


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
