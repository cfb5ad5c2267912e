"""Whatever a model says, in whatever order: each run ends, pays a bounded price, and can be gone on from."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from kubechain.agents.ports.model import Ending, Reply, TokenCount
from kubechain.agents.run import checkpoint, transcript, tries
from kubechain.agents.run.scene import Ask, CreateCalls, Due, Idle
from kubechain.agents.run.step import next_step
from kubechain.agents.run.transcript import mended
from kubechain.resources.message import Message
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from tests.unit.agents.scenes import call, run, scene
from tests.unit.agents.test_checkpoint import NOW
from tests.unit.agents.test_transcript import IDS, ODD_ARGUMENTS, ODD_NAMES, calling, refusal

OBJECT = 1_400_000
"""Bytes of a status that leave room for metadata below the 1.5 MiB of an object."""
TEXTS = st.sampled_from([None, "", "Hi.", "long " * 5_000, "x" * 900_000, "\x00" * 250_000])
CALLS = st.tuples(
    IDS,
    st.sampled_from(["echo", "read_result", *ODD_NAMES]),
    st.sampled_from(["{}", '{"a": "' + "y" * 60_000 + '"}', *ODD_ARGUMENTS[:7]]),
)
REPLIES = st.builds(
    lambda text, asked, ending: Reply(replace(calling(*asked), content=text), TokenCount(1, 1), ending=ending),
    TEXTS,
    st.lists(CALLS, max_size=40),
    st.sampled_from(get_args(Ending)),
)
REASONS = st.sampled_from([*tries.LIMITS, "Unreachable", "RateLimited"])
RESULTS = st.sampled_from(["", "ok", "z" * 16_000])


class Told:
    """A run played to its end without anything outside."""

    def __init__(self, said: list[Reply | str], results: list[str]) -> None:
        self.run: TaskRun = run(phase="Pending")
        self.said, self.results = said, results
        self.children: dict[str, ToolCall] = {}
        self.segments: dict[str, TranscriptSegmentSpec] = {}
        self.in_vain = 0
        """Requests in a row that may have been paid for and brought nothing."""

    def play(self) -> None:
        for _ in range(3 * len(self.said) + 10):
            match next_step(scene(self.run, *self.children.values())):
                case Idle():
                    return
                case CreateCalls(missing):
                    self._make(missing)
                case Ask() as ask:
                    self._ask(ask)
                case step:
                    raise AssertionError(f"nothing changes, and the run waits: {step}")
        raise AssertionError("the run does not end")

    def _make(self, missing: Due) -> None:
        for name, _ in missing:
            text = self.results[len(self.children) % len(self.results)]
            self.children[name] = call(name, "Succeeded", result=text)

    def _ask(self, ask: Ask) -> None:
        sent = [*self.transcript(), *ask.unsaved]
        assert refusal(mended(sent) if ask.mended else sent) is None
        said = self.said.pop(0) if self.said else Reply(Message(role="assistant", content="The end."))
        if isinstance(said, str):
            self._again(ask, said, TokenCount())
            return
        made = checkpoint.after(self.run, ask, said, NOW)
        if not isinstance(made, checkpoint.Checkpoint):
            self._again(ask, made.reason, said.usage)
            return
        self._save(made)
        if transcript.names(self.run):
            assert said.ending == "Complete"
        self.in_vain = self.in_vain + 1 if self.run.status.retry else 0

    def _again(self, ask: Ask, reason: str, used: TokenCount) -> None:
        self.in_vain += reason in tries.LIMITS
        retry = tries.counted(self.run.status.retry, reason)
        if tries.spent(retry):
            self._save(checkpoint.failed(self.run, ask, reason, "no more", NOW))
        else:
            self._save(checkpoint.Checkpoint(checkpoint.in_vain(self.run, ask, retry, "again", used)))

    def _save(self, made: checkpoint.Checkpoint) -> None:
        self.segments |= dict(made.segments)
        assert all(len(json.encode(spec)) < OBJECT for _, spec in made.segments)
        self.run = replace(self.run, status=made.status)
        assert len(json.encode(made.status)) < OBJECT

    def transcript(self) -> list[Message]:
        messages, name = list(self.run.status.messages), self.run.status.history.last
        while name:
            messages = [*self.segments[name].messages, *messages]
            name = self.segments[name].previous
        return messages


@given(st.lists(st.one_of(REPLIES, REASONS), max_size=12), st.lists(RESULTS, min_size=1, max_size=5))
def test_each_run_ends_with_a_reason_and_a_transcript_that_can_be_gone_on_from(
    said: list[Reply | str], results: list[str]
) -> None:
    told = Told(list(said), results)
    told.play()
    status = told.run.status
    assert status.finished
    assert (status.phase == "Failed") == bool(status.error)
    assert status.conditions[0].reason
    assert told.in_vain <= tries.UNUSABLE + tries.TIMEOUTS
    assert refusal(mended(told.transcript())) is None
    assert sum(len(m.tool_calls) for m in told.transcript()) == sum(m.role == "tool" for m in told.transcript())
