"""Docstrings and type hints as tools; no process is started."""

import datetime
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from typing_extensions import Doc

from kubechain.providers.tools.function.docstring import docstring
from kubechain.providers.tools.function.signature import UnfitArguments, UnfitFunction, signature
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
    def plain(a, b=3):  # type: ignore[no-untyped-def]
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


def test_a_parameter_without_a_name_is_refused_with_the_next_move() -> None:
    def rest(a: int, *rest: int) -> None: ...

    def more(a: int, **more: int) -> None: ...

    with pytest.raises(UnfitFunction, match=r"\*rest cannot be described to a model; give every argument a name"):
        signature(rest)
    with pytest.raises(UnfitFunction, match=r"\*\*more .* functools\.wraps"):
        signature(more)


def test_descriptions_are_kept_wherever_they_stand() -> None:
    def spoken(
        a: Annotated[str, "Of a."],
        b: Annotated[str, Doc("Of b.")] = "",
        c: Annotated[str, "Of c."] | None = None,
        d: list[Annotated[str, "Of each d."]] | None = None,
        at: datetime.datetime | None = None,
    ) -> None:
        """Spoken.

        Args:
            a: Said twice.
            at: Of at.
        """

    properties = schema(spoken)["properties"]
    assert properties["a"] == {"type": "string", "description": "Of a."}
    assert properties["b"]["description"] == "Of b."
    assert properties["c"]["anyOf"][0] == {"type": "string", "description": "Of c."}
    assert properties["d"]["anyOf"][0]["items"] == {"type": "string", "description": "Of each d."}
    assert properties["at"]["description"] == "Of at."
    assert properties["at"]["anyOf"][0] == {"type": "string", "format": "date-time"}


class Person(pydantic.BaseModel):
    """Who it is."""

    name: str = pydantic.Field(description="As on the passport.", min_length=2)
    age: int = 3


def test_pydantic_models_are_taken_with_their_words_and_constraints() -> None:
    def greet(who: Person, others: list[Person] | None = None, json: str = "x") -> None:
        """Greets.

        Args:
            who: Whom to greet.
        """

    found = schema(greet)
    assert found["properties"]["who"] == {"$ref": "#/$defs/Person", "description": "Whom to greet."}
    assert found["$defs"]["Person"]["properties"]["name"]["description"] == "As on the passport."
    assert found["required"] == ["who"] and found["additionalProperties"] is False
    assert found["properties"]["json"] == {"type": "string", "default": "x"}
    positional, named = signature(greet).bind('{"who": {"name": "Ada"}}', "")
    assert (positional, named) == ([], {"who": Person(name="Ada", age=3)})
    for document, says in (
        ('{"who": {"name": "A"}}', "who.name: String should have at least 2 characters"),
        ("{}", "who: Field required"),
        ('{"who": {"name": "Ada"}, "loud": 1}', "loud: Extra inputs are not permitted"),
        ("{", "the arguments: Invalid JSON"),
    ):
        with pytest.raises(UnfitArguments, match=says):
            signature(greet).bind(document, "")


def test_what_pydantic_says_of_a_plain_type_is_kept_and_checked() -> None:
    def small(
        y: Annotated[str, pydantic.Field(description="why")], n: Annotated[int, pydantic.Field(le=3)] = 1
    ) -> None: ...

    properties = schema(small)["properties"]
    assert properties["y"] == {"type": "string", "description": "why"}
    assert properties["n"] == {"type": "integer", "maximum": 3, "default": 1}
    with pytest.raises(UnfitArguments, match="less than or equal to 3"):
        signature(small).bind('{"y": "a", "n": 4}', "")


def test_types_that_only_pydantic_knows_are_taken() -> None:
    def visit(where: Path, odd: object = object()) -> None: ...

    assert schema(visit)["properties"] == {"where": {"type": "string", "format": "path"}, "odd": {}}
    assert signature(visit).bind('{"where": "/x"}', "")[1] == {"where": Path("/x")}


NUMPY = """Sums up.

    Parameters
    ----------
    a, b : int
        What to
        add.
    c : str, optional
        A label.

    Returns
    -------
    int
        The sum.
"""
SPHINX = """Sums up.

    :param int a: What to
        add.
    :param b: The other.
    :returns: the sum
    """


def test_other_styles_of_docstrings_are_read() -> None:
    assert docstring(inspect.cleandoc(NUMPY)) == (
        "Sums up.",
        {"a": "What to add.", "b": "What to add.", "c": "A label."},
    )
    assert docstring(inspect.cleandoc(SPHINX)) == ("Sums up.", {"a": "What to add.", "b": "The other."})


def test_a_cut_never_splits_a_character() -> None:
    assert limited("üüü", 5).startswith("üü\n[cut: the first 5 of 6 bytes")
    assert limited("üüü", 6) == "üüü"
