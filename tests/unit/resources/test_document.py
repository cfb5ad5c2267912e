"""Documents of typed objects: taken apart without a look at the whole, and the same as if there had been one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from kubechain.resources.builtin import SECRETS, Secret
from kubechain.resources.document import detached, given
from kubechain.resources.kind import Kind
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.model import ObjectMeta
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS, TranscriptSegment, TranscriptSegmentSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec, TaskRunStatus
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec

META = ObjectMeta(name="one", namespace="default", resource_version="7", uid="u", labels={"a": "b"})
REPLY = Message(role="assistant", tool_calls=[RequestedCall(id="c", function=FunctionCall(name="echo"))])
OBJECTS: list[tuple[Kind[Any], Any]] = [
    (TASK_RUNS, TaskRun(metadata=META, spec=TaskRunSpec(task="t"))),
    (
        TASK_RUNS,
        TaskRun(metadata=META, spec=TaskRunSpec(task="t"), status=TaskRunStatus(turns=1, messages=[REPLY])),
    ),
    (TOOL_CALLS, ToolCall(metadata=META, spec=ToolCallSpec(tool_call_id="c", task_run="one", tool="echo"))),
    (
        TOOLS,
        Tool(
            metadata=META,
            spec=ToolSpec(function=FunctionTool(entrypoint="a:b"), parameters=Raw(b'{\n  "type": "object"\n}')),
        ),
    ),
    (
        TRANSCRIPT_SEGMENTS,
        TranscriptSegment(
            metadata=META, spec=TranscriptSegmentSpec(task_run="one", previous="", first=0, messages=[REPLY])
        ),
    ),
    (SECRETS, Secret(metadata=META, data={"key": "dmFsdWU="})),
]


@pytest.mark.parametrize(("kind", "obj"), OBJECTS, ids=lambda x: x.kind if isinstance(x, Kind) else "")
def test_a_typed_object_gives_the_document_that_its_json_gives(kind: Kind[Any], obj: Any) -> None:
    whole = given(kind.raw, kind.encode(obj))
    document = given(kind, obj)
    assert document.meta == whole.meta
    assert {name: bytes(part) for name, part in document.parts.items()} == {
        name: bytes(part) for name, part in whole.parts.items()
    }
    assert b"\n" not in document.encode(kind)


def test_metadata_that_a_caller_changes_afterwards_is_not_that_of_the_store() -> None:
    meta = ObjectMeta(name="one", labels={"a": "b"}, finalizers=["f"], annotations={"c": "d"})
    kept = detached(meta)
    meta.labels["a"] = meta.annotations["c"] = "other"
    meta.finalizers.clear()
    assert kept == ObjectMeta(name="one", labels={"a": "b"}, finalizers=["f"], annotations={"c": "d"})
