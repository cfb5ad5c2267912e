"""JSONPath, as columns and commands use it."""

from __future__ import annotations

import pytest

from kubechain.resources.json import JsonValue
from kubechain.resources.jsonpath import NotJsonPath, compile_path

OBJ: JsonValue = {"a": {"b.c/d": 1, "e": [{"t": "x", "n": 1}, {"t": "y", "n": 2}]}, "l": [1, 2, 3]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", [OBJ]), (".", [OBJ]), ("l[0]", [1]), (".l[-1]", [3]), (".l[7]", []), (".l[*]", [1, 2, 3]),
        (r".a.b\.c/d", [1]), (".a['b.c/d']", [1]), ('.a["b.c/d"]', [1]), ('.a.e[?(@.t=="y")].n', [2]),
        (".none.a", []),
        (".a.e[*].n", [1, 2]), (".a.e.*.t", ["x", "y"]), ("['l'][1]", [2]), (".l.x", []), (".a[0]", []),
    ],
)  # fmt: skip
def test_a_path_finds_every_value(path: str, found: list[JsonValue]) -> None:
    assert compile_path(path)(OBJ) == found


@pytest.mark.parametrize(
    "path", ["..a", ".a[", ".a[?(@.t)]", ".a[0:2]", ".a[" + "9" * 5000 + "]", ".a b", ".[", "]"]
)
def test_what_is_not_understood_says_where(path: str) -> None:
    with pytest.raises(NotJsonPath) as refused:
        compile_path(path)
    assert refused.value.rest in f".{path}"
