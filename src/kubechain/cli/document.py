"""Objects as documents: manifests read from files, folders and stdin, and objects written as YAML or JSON.

Used by `apply`, `delete -f`, `get -o yaml|json` and `demo`. YAML is imported where a document needs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kubechain.cli.exits import CommandError
from kubechain.cli.objects import members, text
from kubechain.resources.json import JsonObject, JsonValue

_SUFFIXES = (".yaml", ".yml", ".json")
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def read(sources: Iterable[str], *, recursive: bool = False) -> Iterator[tuple[str, JsonObject]]:
    """(where it was found, object) for every object in files, folders (in order of names) and `-` (stdin).

    `recursive`: subfolders too. Raises CommandError for what is missing, empty or no Kubernetes object.
    """
    for source in sources:
        found = False
        for where, document in _documents(source, recursive):
            for obj in manifests(document, where):
                found = True
                yield where, obj
        if not found:
            raise CommandError(_nothing_in(source, recursive))


def _nothing_in(source: str, recursive: bool) -> str:
    path = Path(source)
    if not recursive and path.is_dir() and any(path.glob("*/*.y*ml")):
        return f"{source} has manifests in its subfolders only: add -R, or name one of the subfolders"
    return f"{source} contains no Kubernetes object: name a file with apiVersion, kind and metadata"


def _documents(source: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "stdin", sys.stdin.read()
        return
    path = Path(source)
    if not path.exists():
        raise CommandError(f'the path "{source}" does not exist: name a file, a folder, or - for stdin')
    for file in _files(path, recursive) if path.is_dir() else [path]:
        yield str(file), file.read_text()


def _files(folder: Path, recursive: bool) -> list[Path]:
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in found if path.suffix in _SUFFIXES and path.is_file())


def manifests(document: str, where: str) -> Iterator[JsonObject]:
    """The objects of a YAML (or JSON) document, Lists taken apart. Raises CommandError, naming `where`."""
    for value in _parsed(document, where):
        if value is None:
            continue
        if not isinstance(value, dict) or not text(value, "kind") or not text(value, "apiVersion"):
            raise CommandError(f"{where}: a document has no apiVersion and kind: every object needs both")
        yield from (members(value, "items") if text(value, "kind").endswith("List") else [value])


def _parsed(document: str, where: str) -> list[JsonValue]:
    from kubechain.resources import yamltext

    try:
        return list(yamltext.documents(document))
    except ValueError as error:
        raise CommandError(f"{where} is not valid YAML: {str(error).removeprefix('yaml: ')}") from None


def as_yaml(obj: JsonObject) -> str:
    """An object (or a List) as kubectl prints it with -o yaml."""
    from kubechain.resources import yamltext

    return yamltext.dump(shown(obj))


def as_json(obj: JsonObject) -> str:
    """An object (or a List) as kubectl prints it with -o json."""
    return _as_go_writes(json.dumps(shown(obj), indent=4, sort_keys=True, ensure_ascii=False))


def as_line(obj: JsonObject) -> str:
    """An object on one line, as kubectl notes down what it applied."""
    return _as_go_writes(json.dumps(obj, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def _as_go_writes(encoded: str) -> str:
    return "".join(_HTML.get(c, c) for c in encoded) + "\n"


def shown(obj: JsonObject) -> JsonObject:
    """The object without `metadata.managedFields`, which kubectl does not show either."""
    out = dict(obj)
    if isinstance(meta := obj.get("metadata"), dict):
        out["metadata"] = {key: value for key, value in meta.items() if key != "managedFields"}
    if isinstance(items := obj.get("items"), list):
        out["items"] = [shown(item) if isinstance(item, dict) else item for item in items]
    return out


def as_list(objects: list[JsonObject]) -> JsonObject:
    """Several objects as the List that kubectl prints."""
    return {"apiVersion": "v1", "kind": "List", "items": [*objects], "metadata": {"resourceVersion": ""}}
