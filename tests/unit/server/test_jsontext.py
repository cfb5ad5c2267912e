"""JSON bodies: bounded, and as lenient with characters as a real server."""

from __future__ import annotations

import pytest

from kubechain.resources.json import MAX_DEPTH
from kubechain.server.jsontext import MAX_PATH, MAX_REPEATED, NotJson, parse


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 900, 1_100, 1_000_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_deep_body_is_refused_with_the_depth(levels: int, opened: str, closed: str) -> None:
    for text in (opened * levels + "1" + closed * levels, opened * levels):
        with pytest.raises(NotJson) as refused:
            parse(text.encode(), [])
    assert refused.value.fault.startswith(("exceeded max depth", "unexpected end of JSON input"))


def test_what_is_as_deep_as_allowed_and_wide_is_read() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, [])
    assert len(parse(b"[" + b"[]," * 1000 + b"[]]", [])) == 1001  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud800"', "\ufffd"), (rb'"\udc00\ud83d\ude00"', "\ufffd\U0001f600"), (rb'"\ud800\u0041"', "\ufffdA"),
        (rb'"\\ud800"', "\\ud800"), (rb'"\ud800\ud83d\ude00"', "\ufffd\U0001f600"), (b'"\xff"', "\ufffd"),
    ],
)  # fmt: skip
def test_half_a_character_becomes_the_replacement_character(text: bytes, value: str) -> None:
    assert parse(text, []) == value


@pytest.mark.parametrize(
    "text", [b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"-", b"01", b"", b'"', b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson):
        parse(text, [])


def test_members_that_come_twice_are_named_but_not_a_hundred_thousand_of_them() -> None:
    repeated: list[str] = []
    parse(b'{"a":{"b":1,"b":2},"l":[{"c":1,"c":1}],"a":{}}', repeated)
    assert repeated == ['duplicate field "a.b"', 'duplicate field "l[0].c"', 'duplicate field "a"']
    members = b",".join(b'"%d":1,"%d":1' % (i, i) for i in range(10_000))
    many: list[str] = []
    parse(b'{"' + b"k" * 100_000 + b'":{' + members + b"}}", many)
    assert len(many) == MAX_REPEATED
    assert max(map(len, many)) < MAX_PATH + 30
