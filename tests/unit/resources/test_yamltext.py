"""YAML from outside: what it means, and what it may not do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubechain.resources.json import MAX_DEPTH, JsonValue, exceeds
from kubechain.resources.yamltext import MAX_ALIASED, NotYaml, documents, dump, first, texts


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("~", None), ("", None), ("null", None), ("on", True), ("Y", True), ("no", False), ("017", 15),
        ("0x1F", 31), ("0b101", 5), ("-1_000", -1000), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0),
        ("99999999999999999999999", 1e23), ("2026-01-01", "2026-01-01"), ("12:30:45", "12:30:45"),
        (".nan", ".nan"),
        ("'1'", "1"), ('"on"', "on"), ("0x", "0x"), ("1e", "1e"), ("!!str 5", "5"), ("!!float 5", 5.0),
        ("!!int 5", 5), ("! 5", "5"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_it_means_to_kubernetes(scalar: str, value: JsonValue) -> None:
    assert first(f"a: {scalar}") == {"a": value}
    assert repr(first(f"[{scalar or '~'}]")) == repr([value])


def test_keys_are_texts_and_the_first_of_several_merged_maps_counts_most() -> None:
    assert first("1: a\non: b\n1.5: c") == {"1": "a", "true": "b", "1.5": "c"}
    assert first("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y], b: 3}")["z"] == {"a": 1, "b": 3}  # type: ignore[index,call-overload]
    assert first("{b: 3, <<: {a: 1, b: 1}}") == {"a": 1, "b": 3}


def test_every_document_of_a_stream_is_read_with_anchors_of_its_own() -> None:
    assert list(documents("a: &x 1\n---\n- 2\n---\n")) == [{"a": 1}, [2], None]
    assert first("") is None
    with pytest.raises(NotYaml, match="unknown anchor 'x' referenced"):
        list(documents("a: &x 1\n---\nb: *x"))


def test_keys_that_come_twice_are_reported_with_their_line() -> None:
    repeated: list[str] = []
    assert first("a: 1\nb: 2\na: 3\n", repeated) == {"a": 3, "b": 2}
    assert repeated == ['yaml: unmarshal errors:\n  line 3: key "a" already set in map']


def test_a_kubeconfig_is_read_as_it_is_written() -> None:
    assert texts("token: 0123\nflag: on\nnothing:\n<<: {a: 1}") == {
        "token": "0123", "flag": "on", "nothing": "", "<<": {"a": "1"},
    }  # fmt: skip


@pytest.mark.parametrize("levels", [1_000, 1_000_000])
@pytest.mark.parametrize("nest", ["[", "{a: ", "- ", "? ", "- - "])
def test_no_nesting_ends_the_process(nest: str, levels: int) -> None:
    with pytest.raises(NotYaml, match="exceeded max depth"):
        first(nest * levels)


def test_what_is_as_deep_as_allowed_is_read_and_no_deeper_through_aliases_either() -> None:
    deep = first("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert not exceeds(deep)
    half = "[" * (MAX_DEPTH // 2) + "1" + "]" * (MAX_DEPTH // 2)
    twice = half.replace("1", "*x")
    assert not exceeds(first(f"- &x {half[1:-1]}\n- {twice[1:-1]}"))
    with pytest.raises(NotYaml, match="line 2: exceeded max depth"):
        first(f"- &x {half}\n- {twice}")


def bomb(levels: int, width: int = 9, how: str = "[{}]") -> str:
    lines = ['a: &a ["x","x","x","x","x","x","x","x","x"]'] if how == "[{}]" else ["a: &a {k: v}"]
    for i in range(1, levels):
        here, before = chr(97 + i), chr(96 + i)
        lines.append(f"{here}: &{here} " + how.format(",".join([f"*{before}"] * width)))
    return "\n".join(lines)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("how", ["[{}]", "{{<<: [{}]}}"])
def test_a_few_aliases_do_not_become_gigabytes(how: str) -> None:
    assert isinstance(first(bomb(3, how=how)), dict)
    with pytest.raises(NotYaml, match="document contains excessive aliasing"):
        first(bomb(20, how=how))


def test_a_long_text_counts_with_its_length_wherever_it_is_repeated() -> None:
    text = "x" * (MAX_ALIASED // 3)
    assert isinstance(first(f"- &a {text}\n" + "- *a\n" * 2), list)
    with pytest.raises(NotYaml, match="excessive aliasing"):
        first(f"- &a {text}\n" + "- *a\n" * 4)


@pytest.mark.timeout(20)
def test_many_maps_to_merge_take_time_in_proportion() -> None:
    many = ",".join(f"{{k{i}: 1}}" for i in range(30_000))
    assert len(first(f"<<: [{many}]")) == 30_000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [*a]", "unknown anchor"), ("? [a]\n: b", "not a list"), ("~: b", "not null"),
        ("<<: 3", "map merge"),
        ("a: 1e999", "out of range"), ("a: !!int x", "cannot decode"), ("a: !!set {x}", "no place"),
        ("a: !!python/object:os.system x", "no place"), ("a: !own x", "no place"), ("a: [", "line"),
        ("a: \x00", "control characters"), ("a: \ud800", "surrogates"), (b"\xff\xfe\xff", "yaml: "),
        (b"a: \xff", "UTF-8"), ("a: *", "yaml: "), ("%FOO\n- a", "yaml: "), ('a: "\\ud800"', "Unicode"),
        ("a: 0x" + "f" * 5000, "out of range"), ("a: " + "9" * 5000, "out of range"),
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused_with_a_sentence(text: str | bytes, problem: str) -> None:
    with pytest.raises(NotYaml, match=problem):
        list(documents(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.floats().filter(math.isfinite),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_what_is_written_reads_as_it_was(value: JsonValue) -> None:
    assert first(dump(value)) == value


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab:&*<>-?[]{}!|'\"\n #,%@~1.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert not exceeds(list(documents(text)))
    except NotYaml as refused:
        assert str(refused).startswith("yaml: ")
