"""YAML as Kubernetes tools read and write it. The only module of the CLI that imports yaml at once.

Imported by `document` and `kubeconfig` in the moment they need it. Never loads anything but plain data.
"""

from __future__ import annotations

import re

import yaml

from kubechain.resources.json import JsonValue

_STRING = "tag:yaml.org,2002:str"
_KEPT = ("bool", "null", "merge")
_DIGITS = list("-+0123456789")
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0[0-7_]+|0b[01_]+)$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")


class Loader(yaml.CSafeLoader):
    """Plain data, without the readings that surprise: dates and `12:30:45` stay text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in _KEPT]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, _DIGITS)
Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*_DIGITS, "."])


class Dumper(yaml.CSafeDumper):
    """Block style, text of several lines as `|`, text that reads as something else in double quotes."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent(dumper: Dumper, words: str) -> yaml.ScalarNode:
    style = None
    if "\n" in words:
        style = "|"
    elif not words or dumper.resolve(yaml.ScalarNode, words, (True, False)) != _STRING:  # type: ignore[no-untyped-call]
        style = '"'
    return dumper.represent_scalar(_STRING, words, style=style)


Dumper.add_representer(str, _represent)


def load_all(document: str) -> list[JsonValue]:
    """The values of a document's parts. Raises ValueError with the place."""
    try:
        return list(yaml.load_all(document, Loader=Loader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def dump(value: JsonValue) -> str:
    """One document, keys in order of the alphabet."""
    return yaml.dump(value, Dumper=Dumper, allow_unicode=True, default_flow_style=False, sort_keys=True)
