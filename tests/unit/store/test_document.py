"""Documents of typed objects: taken apart without a look at the whole, and the same as if there had been one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from kubechain.resources.builtin import SECRETS, Secret
from kubechain.resources.kind import Kind
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.model import ObjectMeta
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS, TranscriptSegment, TranscriptSegmentSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec, TaskRunStatus
from kubechain.resources.tool import TOOLS, FunctionTool, Tool, ToolSpec
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.store.document import given, parse
from kubechain.store.lately import Lately
from kubechain.store.record import Address, Stored

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


def stored(revision: int, content: str = "x") -> Stored:
    run = TaskRun(metadata=META, spec=TaskRunSpec(task=content))
    return Stored(revision, TASK_RUNS.encode(run), "u", False)


def test_what_was_written_lately_is_taken_once_and_for_its_revision_only() -> None:
    lately, at = Lately(), Address(1, "default", "one")
    document = parse(stored(7).body)
    lately.put(at, 7, document, 100)
    assert lately.take(at, stored(7)).parts is document.parts
    assert lately.take(at, stored(7)).parts is not document.parts
    lately.put(at, 8, document, 100)  # decided, and then not committed
    other = lately.take(at, stored(7, "another"))
    assert bytes(other.parts["spec"]) == b'{"task":"another"}'


def test_metadata_that_somebody_changes_afterwards_is_not_that_of_the_document() -> None:
    lately, at = Lately(), Address(1, "default", "one")
    document = parse(stored(7).body)
    lately.put(at, 7, document, 100)
    document.meta.resource_version = "8"
    assert lately.take(at, stored(7)).meta.resource_version == "7"


def test_few_and_small_documents_are_kept() -> None:
    lately, document = Lately(), parse(stored(7).body)
    addresses = [Address(1, "default", str(n)) for n in range(150)]
    for at in addresses:
        lately.put(at, 7, document, 16 * 1024)
    kept = [at for at in addresses if lately.take(at, stored(7)).parts is document.parts]
    assert kept == addresses[-64:]
    lately.put(addresses[0], 7, document, 100)
    lately.put(addresses[0], 9, document, 1024 * 1024)
    assert lately.take(addresses[0], stored(7)).parts is not document.parts
