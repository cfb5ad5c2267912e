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

    ready: Annotated[bool, doc("Whether other objects can use this one.")] = False
    status: Annotated[
        Summary,
        doc(
            "Ready, Pending (it waits for something that does not exist or is not ready), or Error (correct what "
            "statusDetail says)."
        ),
    ] = "Pending"
    status_detail: Annotated[str, doc("One sentence: why it has this status, and what to do next.")] = ""
    observed_generation: Annotated[int, doc("metadata.generation for which this status was determined.")] = 0
    conditions: Annotated[
        list[Condition], doc("The conditions that the fields above summarise.", schema=CONDITION_LIST)
    ] = []


READY = Column("Ready", ".status.ready", "boolean", description="Whether other objects can use it")
STATUS = Column("Status", ".status.status", description="Pending, Ready or Error")
DETAIL = Column("Detail", ".status.statusDetail", wide=True, description="Why, in one sentence")
