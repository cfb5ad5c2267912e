"""What moves out of a run's window, and that a checkpoint repeated after a crash moves the same."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubechain.agents.ports.model import Reply
from kubechain.agents.run import checkpoint
from kubechain.agents.run.growth import SEGMENT, WINDOW, sealed, size
from kubechain.resources.message import Message
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import TaskRun
from tests.unit.agents.scenes import asks_for, run

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def tool_message(length: int) -> Message:
    return Message(role="tool", content="x" * length, tool_call_id="call_1")


def test_a_short_conversation_stays_whole_in_the_status() -> None:
    assert sealed(run(Message(role="user", content="Hello?")), [tool_message(100)]) == []


def test_the_same_checkpoint_seals_the_same_segments_and_another_conversation_others() -> None:
    of = run(tool_message(WINDOW))
    assert sealed(of, []) == sealed(of, [])
    assert sealed(of, [])[0][0] != sealed(of, [tool_message(1)])[0][0]


@given(st.lists(st.lists(st.integers(0, 3 * WINDOW), min_size=1, max_size=4), min_size=1, max_size=30))
def test_however_long_a_run_gets_its_segments_and_window_hold_the_whole_conversation(
    turns: list[list[int]],
) -> None:
    of = run(turns=0)
    store: dict[str, TranscriptSegmentSpec] = {}
    said: list[Message] = []
    for results in turns:
        unsaved = [tool_message(length) for length in results]
        reply = asks_for("echo")
        moved = sealed(of, unsaved)
        store |= dict(moved)
        of = replace(of, status=checkpoint.after_reply(of, "helper", unsaved, Reply(reply), NOW, moved))
        said += [*unsaved, reply]
        assert size(of.status.messages) <= WINDOW + size([reply])
        assert all(size(spec.messages) <= SEGMENT or len(spec.messages) == 1 for _, spec in moved)
    assert [*earlier(of, store), *of.status.messages] == said
    assert of.status.history.messages + len(of.status.messages) == len(said)
    assert of.status.history.segments == len(store)


def earlier(of: TaskRun, store: dict[str, TranscriptSegmentSpec]) -> list[Message]:
    messages: list[Message] = []
    name = of.status.history.last
    while name:
        messages = [*store[name].messages, *messages]
        assert store[name].first + len(messages) <= of.status.history.messages
        name = store[name].previous
    return messages
