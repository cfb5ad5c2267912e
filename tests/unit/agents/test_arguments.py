"""Arguments judged by a JSON Schema: what fits, and the one line that tells a model what to change."""

from __future__ import annotations

import pytest
from msgspec import Raw, json

from kubechain.agents.call.arguments import problem, unusable

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "born": {"type": "string", "format": "date"},
        "size": {"enum": ["S", "M"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "integer"}},
}
EITHER = {
    "anyOf": [
        {"properties": {"id": {"type": "string"}}, "required": ["id"]},
        {"properties": {"at": {"type": "object", "properties": {"x": {"type": "integer"}}}}, "required": ["at"]},
    ]
}


def schema(document: object) -> Raw:
    return Raw(json.encode(document))


@pytest.mark.parametrize(
    ("document", "arguments"),
    [
        ({}, ""),
        ({}, '{"a": 1}'),
        ({"type": "object"}, "{}"),
        (PERSON, '{"name": "Ada", "born": "1815-12-10", "size": "S", "tags": [1, 2]}'),
        (EITHER, '{"id": "x"}'),
        (EITHER, '{"at": {"x": 1}}'),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}}, "{}"),
        ({"format": "no-such-format", "pattern": "^[\\w\\-]+\\/$"}, "{}"),
    ],
)
def test_arguments_that_fit_are_let_through(document: object, arguments: str) -> None:
    assert problem(arguments, schema(document)) is None


@pytest.mark.parametrize(
    ("document", "arguments", "told"),
    [
        (PERSON, "{}", '"name" is a required property'),
        (PERSON, '{"name": "A"}', "name: the value is shorter than 2 characters"),
        (PERSON, '{"name": "Ada", "born": "soon"}', 'born: the value is not a "date"'),
        (PERSON, '{"name": "Ada", "size": "XL"}', 'size: the value is not one of "S" or "M"'),
        (PERSON, '{"name": "Ada", "tags": [1, "b"]}', 'tags[1]: the value is not of type "integer"'),
        (PERSON, '{"name": "Ada", "age": 1}', "'age' was unexpected"),
        (EITHER, '{"at": {"x": "left"}}', 'the nearest because at.x: the value is not of type "integer"'),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}},
            '{"a": 1}',
            '"b" is a required property',
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line_that_says_what_to_change(
    document: object, arguments: str, told: str
) -> None:
    text = problem(arguments, schema(document))
    assert text is not None and told in text, text
    assert "\n" not in text and text.endswith("Correct them and call again")


def test_the_line_holds_no_value_and_not_more_than_three_errors() -> None:
    many = {"properties": {f"p{n}": {"type": "integer"} for n in range(9)}}
    text = problem(json.encode({f"p{n}": "hunter2-hunter2" for n in range(9)}).decode(), schema(many))
    assert text is not None and "hunter2" not in text
    assert text.count("is not of type") == 3


def test_a_pattern_that_goes_back_for_ever_is_stopped() -> None:
    assert problem('{"a": "' + "a" * 40 + '!"}', schema({"properties": {"a": {"pattern": "^(?!x)(a+)+$"}}}))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"type": "objekt"}, "type"),
        ({"properties": {"a": {"pattern": "("}}}, "regex"),
        ({"$ref": "https://example.com/schema.json"}, "https://example.com/schema.json"),
        ({"$ref": "file:///etc/passwd"}, "Retrieval is disabled"),
        ({"$ref": "#/nowhere"}, "/nowhere"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why_and_is_not_applied(document: object, why: str) -> None:
    text = unusable(schema(document))
    assert text is not None and why in text and "\n" not in text
    assert problem('{"a": "b"}', schema(document)) is None
