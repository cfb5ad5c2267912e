"""deploy/references: which fields of our kinds name other objects, for kustomize.

Kustomize renames objects (`namePrefix`, `nameSuffix`, generated Secrets) and rewrites the references to them that
it knows. This tells it ours. Called by `kustomize`; a test holds that no reference is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import CONFIG_MAPS, SECRETS
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.mcpserver import MCP_SERVERS
from kubechain.resources.registry import OURS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS
from kubechain.resources.toolcall import TOOL_CALLS

Found = tuple[Kind[Any], str, Kind[Any]]
FIELDS: dict[str, Kind[Any]] = {
    "llmRef": LLMS,
    "tools": TOOLS,
    "mcpServers": MCP_SERVERS,
    "subAgents": AGENTS,
    "agent": AGENTS,
    "configMapKeyRef": CONFIG_MAPS,
    "imagePullSecrets": SECRETS,
    "secretKeyRef": SECRETS,
}
"""What a struct with a name, or a list of them, names: by the name of its field."""
BY_NAME = ((TASKS, "spec/agent", AGENTS), (TASK_RUNS, "spec/task", TASKS), (TASK_RUNS, "spec/agent", AGENTS))
"""Fields that are a plain name, and what they name."""
WRITTEN_BY_HAND = tuple(kind for kind in OURS if kind.has_status and kind != TOOL_CALLS)


def references() -> list[Found]:
    """Every reference in what people write: the kind, the path of the name in it, and the kind that is named."""
    found: list[Found] = [*BY_NAME]
    for kind in WRITTEN_BY_HAND:
        for path, struct in _structs(inspect.type_info(kind.codec), ""):
            target = FIELDS.get(path.rpartition("/")[2])
            if target is not None and any(field.encode_name == "name" for field in struct.fields):
                found.append((kind, f"{path}/name", target))
    return found


def configuration() -> JsonObject:
    """The same as a transformer configuration of kustomize."""
    found = references()
    targets = {target: None for _, _, target in found}
    return {"nameReference": [_references_to(target, found) for target in targets]}


def _references_to(target: Kind[Any], found: list[Found]) -> JsonObject:
    fields: list[JsonValue] = [
        {"kind": kind.kind, "group": kind.group, "path": path} for kind, path, named in found if named == target
    ]
    named: JsonObject = {"group": target.group} if target.group else {"version": target.version}
    return {"kind": target.kind, **named, "fieldSpecs": fields}


def _structs(found: inspect.Type, path: str) -> Iterator[tuple[str, inspect.StructType]]:
    """Every struct in a spec, with its path; items of a list have the path of the list, as kustomize has it."""
    match found:
        case inspect.Metadata():
            yield from _structs(found.type, path)
        case inspect.UnionType():
            for one in found.types:
                yield from _structs(one, path)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _structs(found.item_type, path)
        case inspect.StructType():
            yield path, found
            for field in found.fields:
                if path or field.encode_name == "spec":
                    yield from _structs(field.type, f"{path}/{field.encode_name}".lstrip("/"))
        case _:
            pass
