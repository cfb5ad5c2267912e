"""The OpenAPI documents have what kubectl looks for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kubechain.errors import NotFound
from kubechain.resources.registry import ALL
from kubechain.server import openapi


def document(path: str) -> dict[str, Any]:
    return cast("dict[str, Any]", openapi.document(path))


def test_the_index_names_every_group_version_with_a_hash() -> None:
    paths = cast("dict[str, dict[str, str]]", openapi.index()["paths"])
    assert set(paths) == {f"apis/{k.api_version}" if k.group else "api/v1" for k in ALL}
    for path, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")
        assert document(path)["openapi"] == "3.0.0"


def test_writes_of_every_kind_declare_field_validation() -> None:
    for kind in ALL:
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        paths = document(f"apis/{kind.api_version}" if kind.group else "api/v1")["paths"]
        writes = {
            action
            for path in paths.values()
            for action, operation in path.items()
            if operation["x-kubernetes-group-version-kind"] == gvk
            and "fieldValidation" in [p["name"] for p in operation.get("parameters", [])]
        }
        assert writes == {"post", "put", "patch"}


def test_every_kind_can_be_explained() -> None:
    for kind in ALL:
        schemas = document(f"apis/{kind.api_version}" if kind.group else "api/v1")["components"]["schemas"]
        own = [s for s in schemas.values() if kind.kind in str(s.get("x-kubernetes-group-version-kind"))]
        assert own and own[0]["description"]
        reference = own[0]["properties"]["metadata"]["allOf"][0]["$ref"].removeprefix("#/components/schemas/")
        assert "labels" in schemas[reference]["properties"]


def test_the_empty_document_of_version_2_is_as_measured() -> None:
    assert openapi.V2.hex(" ") == "0a 03 32 2e 30 12 06 0a 01 6b 12 01 76 42 00 4a 00"


def test_other_paths_have_no_document() -> None:
    with pytest.raises(NotFound):
        openapi.document("apis/apps/v1")
