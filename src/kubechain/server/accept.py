"""The Accept header -> the form an answer takes.

Called by `read` and `watch`. Pure.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kubechain.errors import NotAcceptable

ONLY = (
    "only the following media types are accepted: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)
_FORMS = {"Table": "table", "PartialObjectMetadata": "metadata", "PartialObjectMetadataList": "metadata"}


class Form(Struct, frozen=True):
    """What the client wants to see: whole objects, a table, or metadata alone; `version` of meta.k8s.io."""

    shape: Literal["object", "table", "metadata"] = "object"
    version: str = "v1"
    yaml: bool = False
    name: str = ""
    """The kind that the client asked for: PartialObjectMetadata or its list."""


def form_of(accept: str) -> Form:
    """The supported form that the client prefers; JSON if it has no preference. Raises NotAcceptable."""
    if not accept.strip():
        return Form()
    for media, parameters in sorted(map(_clause, accept.split(",")), key=_dislike):
        if (form := _form(media, parameters)) is not None:
            return form
    raise NotAcceptable(ONLY)


def _clause(text: str) -> tuple[str, dict[str, str]]:
    media, *rest = (part.strip() for part in text.split(";"))
    return media, dict(part.split("=", 1) for part in rest if "=" in part)


def _dislike(clause: tuple[str, dict[str, str]]) -> float:
    try:
        return -float(clause[1].get("q", "1"))
    except ValueError:
        return -1.0


def _form(media: str, parameters: dict[str, str]) -> Form | None:
    if media not in ("application/json", "application/yaml", "application/*", "*/*"):
        return None
    yaml = media == "application/yaml"
    wanted = parameters.get("as")
    if wanted is None:
        return Form(yaml=yaml)
    version = parameters.get("v", "v1")
    if parameters.get("g", "meta.k8s.io") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    match _FORMS.get(wanted):
        case "table":
            return Form("table", version)
        case "metadata":
            return Form("metadata", version, name=wanted)
    return None
