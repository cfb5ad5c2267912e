"""Fields are read as a full look at the document would read them, whatever stands in their places."""

from __future__ import annotations

import msgspec
import pytest

from kubechain.resources.fields import reader

PATHS = {"phase": "status.phase", "spec.task": "spec.task", "deep": "status.in.two-parts", "kind": "kind"}


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        (
            {"kind": "A", "spec": {"task": "t", "more": [1]}, "status": {"phase": True, "in": {"two-parts": 3}}},
            ("true", "t", "3", "A"),
        ),
        ({"spec": {}, "status": {"phase": None}}, ("", "", "", "")),
        ({"spec": None, "status": {"phase": "p", "in": {}}}, ("p", "", "", "")),
        ({"spec": "text", "status": {"phase": "p", "in": [1]}}, ("p", "", "", "")),
        ({}, ("", "", "", "")),
    ],
)
def test_fields_are_read_as_texts(document: object, texts: tuple[str, ...]) -> None:
    assert reader(PATHS)(msgspec.json.encode(document)) == dict(zip(PATHS, texts, strict=True))


def test_no_fields_are_asked_for() -> None:
    assert reader({})(b"not looked at") == {}
