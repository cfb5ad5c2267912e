"""Checks the values of `kubechain install` as a cluster would: names, images, pairs, quantities.

Used by `install` alone. An empty value is refused, because it usually comes from a variable that is not set.
"""

from __future__ import annotations

import re

import click

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
IMAGE = (
    r"(?=.{1,255}(@|$))([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"


class Text(click.ParamType[str]):
    """A text that matches a pattern as a whole."""

    def __init__(self, name: str, pattern: str, wanted: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._wanted = wanted

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text:
            self.fail("it is empty: is a variable of the shell not set?", param, ctx)
        if not self._pattern.fullmatch(text):
            self.fail(f"{text!r} is not {self._wanted}", param, ctx)
        return text


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with a sign between them, as in `default/openai` or `cpu=1`."""

    def __init__(self, sign: str, first: str, second: str, wanted: str) -> None:
        self.name = "pair"
        self._sign = sign
        self._first, self._second = re.compile(first), re.compile(second, re.DOTALL)
        self._wanted = wanted

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):  # a default
            return value
        first, sign, second = str(value).partition(self._sign)
        if not sign or not self._first.fullmatch(first) or not self._second.fullmatch(second):
            self.fail(f"{str(value)!r} is not {self._wanted}", param, ctx)
        return first, second


NAMESPACE = Text(
    "namespace", LABEL, "the name of a namespace: use lower-case letters, digits and '-', at most 63 characters"
)
OBJECT = Text("name", NAME, "the name of an object: use lower-case letters, digits, '-' and '.'")
IMAGE_NAME = Text("image", IMAGE, "the name of an image, as in registry.example.com/kubechain:0.1.0")
SECRET = Pair("/", LABEL, NAME, "NAMESPACE/NAME, as in default/openai")
BASE_URL = Pair("=", r"[a-z][a-z0-9-]*", r"https?://\S+", "PROVIDER=URL, as in openai=http://vllm.default:8000/v1")
ENVIRONMENT = Pair("=", VARIABLE, r".*", "NAME=VALUE, as in HTTPS_PROXY=http://proxy:3128")
RESOURCE = Pair("=", r"[a-z0-9]([-a-z0-9./]*[a-z0-9])?", QUANTITY, "NAME=QUANTITY, as in memory=512Mi")
