"""Docstrings and type hints as tools; no process is started."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from kubechain.providers.tools.function.signature import UnfitArguments, UnfitFunction, docstring, signature
from kubechain.providers.tools.result import limited
from tests.unit.tools.fixtures import tricks


def schema(function: Callable[..., object]) -> Any:
    return json.loads(bytes(signature(function).parameters))


def test_every_kind_of_parameter_has_its_schema() -> None:
    found = schema(tricks.many)
    assert found["required"] == ["text", "count", "place"]
    assert found["additionalProperties"] is False
    properties = found["properties"]
    assert properties["text"] == {"type": "string", "description": "What to measure."}
    assert properties["count"] == {"type": "integer", "description": "How often."}
    assert properties["place"] == {"$ref": "#/$defs/Place", "description": "Where."}
    assert properties["ratio"] == {"type": "number", "default": 0.5}
    assert properties["exact"] == {"type": "boolean", "default": False}
    assert properties["tags"] == {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}
    assert properties["unit"] == {"enum": ["km", "mile"], "default": "km"}
    assert properties["city"] == {"type": "string", "description": "Name of a city.", "default": "Berlin"}
    assert found["$defs"]["Place"]["required"] == ["latitude", "longitude"]
    assert found["$defs"]["Note"]["required"] == ["text"]


def test_the_description_is_what_stands_before_the_first_section() -> None:
    assert signature(tricks.many).description == "Measure things.\n\nA second paragraph."


def test_a_section_word_inside_a_sentence_is_no_section() -> None:
    text = "Returns: a thing, at once.\n\nArgs:\n    a: One: or two.\n        More: of it.\n    b: Three.\n"
    assert docstring(text) == (
        "Returns: a thing, at once.",
        {"a": "One: or two. More: of it.", "b": "Three."},
    )


def test_a_function_without_hints_takes_anything_and_learns_from_defaults() -> None:
    def plain(a, b=3, *rest, **more):  # type: ignore[no-untyped-def]
        ...

    assert schema(plain)["properties"] == {"a": {}, "b": {"type": "integer", "default": 3}}


def test_positional_only_parameters_are_passed_by_position() -> None:
    def place(a: int, /, b: int, *, c: int = 1) -> None: ...

    assert signature(place).bind('{"a": 1, "b": 2}', "") == ([1], {"b": 2})


def test_a_constraint_of_the_hint_is_kept_and_checked() -> None:
    from msgspec import Meta

    def small(a: Annotated[int, Meta(le=3), "At most three."]) -> None: ...

    assert schema(small)["properties"]["a"] == {"type": "integer", "maximum": 3, "description": "At most three."}
    with pytest.raises(UnfitArguments, match="<= 3"):
        signature(small).bind('{"a": 4}', "")


def test_a_type_without_a_json_form_is_refused_by_name() -> None:
    with pytest.raises(UnfitFunction, match="Thread"):
        signature(tricks.unfit)


def test_a_hint_that_leads_nowhere_is_refused() -> None:
    def lost(a: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    with pytest.raises(UnfitFunction, match="Nowhere"):
        signature(lost)


def test_a_cut_never_splits_a_character() -> None:
    assert limited("üüü", 5).startswith("üü\n[cut: the first 5 of 6 bytes")
    assert limited("üüü", 6) == "üüü"
