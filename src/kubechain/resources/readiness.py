"""The status shared by kinds that get ready rather than run: LLM, Agent, Tool, MCPServer, Task."""

from __future__ import annotations

from typing import Annotated, Literal

from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Column
from kubechain.resources.model import Condition, Model, doc

CONDITION_LIST: JsonObject = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
Summary = Literal["Pending", "Ready", "Error"]


class ReadyStatus(Model, omit_defaults=False, kw_only=True, gc=False):
    """`ready`, `status` and `statusDetail` are a printed summary of the condition Ready."""

    initial = {"ready": False, "status": "Pending"}

    ready: Annotated[bool, doc("Whether other objects can rely on this one.")] = False
    status: Annotated[Summary, doc("Pending: waits for something that is not there yet. Ready. Error.")] = (
        "Pending"
    )
    status_detail: Annotated[str, doc("One sentence: why it is in this status, and the next move.")] = ""
    observed_generation: Annotated[int, doc("metadata.generation this status was judged on.")] = 0
    conditions: Annotated[
        list[Condition], doc("The claims that the summary is derived from.", schema=CONDITION_LIST)
    ] = []


READY = Column("Ready", ".status.ready", "boolean", description="Whether other objects can rely on it")
STATUS = Column("Status", ".status.status", description="Pending, Ready or Error")
DETAIL = Column("Detail", ".status.statusDetail", wide=True, description="Why, in one sentence")


def settled(status: ReadyStatus, generation: int) -> bool:
    """Ready, and judged on what is asked for now."""
    return status.ready and status.observed_generation == generation
