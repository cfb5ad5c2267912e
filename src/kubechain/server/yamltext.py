"""YAML request bodies -> JSON values, read as Kubernetes reads them.

Called by `manifest`, which alone imports it. Times and 12:30 stay text, `on` and `y` are booleans,
and nothing but plain data is ever built.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from kubechain.resources.json import JsonValue
from kubechain.server.manifest import BadManifest


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


_BOOL = re.compile(r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_INT = re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?$")
_TRUE = frozenset({"y", "yes", "true", "on"})


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in _TRUE


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)


def load(body: bytes, repeated: list[str]) -> JsonValue:
    """The first document's value; keys that come twice are reported with their line. Raises BadManifest."""
    loader = _Loader(body)
    try:
        node = loader.get_node() if loader.check_node() else None
        if node is None:
            return None
        _report(node, repeated)
        return _plain(loader.construct_document(node))
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        raise BadManifest(f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}") from error
    finally:
        loader.dispose()


def _report(node: yaml.Node, repeated: list[str]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    repeated.append(
                        f'yaml: unmarshal errors:\n  line {line}: key "{key.value}" already set in map'
                    )
                seen.add(key.value)
            _report(value, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _report(item, repeated)


def _plain(value: Any) -> JsonValue:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {_key(key): _plain(member) for key, member in value.items()}
        case list():
            return [_plain(item) for item in value]
    raise BadManifest(f"yaml: a value of type {type(value).__name__} has no place in an object")


def _key(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)
