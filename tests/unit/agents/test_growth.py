"""What moves out of a run's window, and that a checkpoint repeated after a crash moves the same."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubechain.agents.ports.model import Reply
from kubechain.agents.run import checkpoint
from kubechain.agents.run.checkpoint import LARGE, SEGMENT, WINDOW, continued, size
from kubechain.agents.run.outcome import Kept
from kubechain.resources.message import Message
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import TaskRun
from tests.unit.agents.scenes import ask, asks_for, run

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANSWER = Message(role="assistant", content="Hi.")


def tool_message(length: int) -> Message:
    return Message(role="tool", content="x" * length, tool_call_id="call_1")


def test_a_short_conversation_stays_whole_in_the_status() -> None:
    question = Message(role="user", content="Hello?")
    made = continued(run(question), [tool_message(100)], [ANSWER])
    assert (made.window, made.moved) == ([question, tool_message(100), ANSWER], ())


def test_the_same_checkpoint_seals_the_same_segments_and_another_conversation_others() -> None:
    of = run(tool_message(WINDOW))
    assert continued(of, [tool_message(9)]) == continued(of, [tool_message(9)])
    assert continued(of, [tool_message(9)]).moved[0][0] != continued(of, [tool_message(8)]).moved[0][0]


def test_a_large_answer_moves_out_since_the_status_holds_it_as_its_output() -> None:
    large = Message(role="assistant", content="x" * LARGE)
    made = continued(run(tool_message(1)), [], [large])
    assert made.window == []
    assert [message for _, spec in made.moved for message in spec.messages] == [tool_message(1), large]


def test_a_large_reply_whose_calls_are_still_to_be_made_stays() -> None:
    large = asks_for("echo")
    large.tool_calls[0].function.arguments = '{"x": "' + "x" * LARGE + '"}'
    assert continued(run(tool_message(1)), [], [large], pending=True).window == [tool_message(1), large]


def test_letters_that_take_six_bytes_each_count_as_six() -> None:
    made = continued(run(), [], [Message(role="assistant", content="\x00" * (LARGE // 2))])
    assert made.window == []


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
        made = checkpoint.after_reply(of, ask(*unsaved), Reply(reply), Kept(), NOW)
        store |= dict(made.segments)
        of = replace(of, status=made.status)
        said += [*unsaved, reply]
        assert size(of.status.messages) <= WINDOW + size([reply])
        assert all(size(spec.messages) <= SEGMENT or len(spec.messages) == 1 for _, spec in made.segments)
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
