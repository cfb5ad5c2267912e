"""What must be true of every world, however bad its weather. Pure: looks at a `Past` and says what is wrong.

Each judge gives sentences; no sentence means that all is well. `necessary` says how model calls are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from kubechain.agents.naming import tool_call_name
from kubechain.agents.run.transcript import mended, result_message
from kubechain.resources.message import Message
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall
from tests.chaos.model import Asked
from tests.chaos.world import Past

FAILED_ASKS_A_MINUTE = 15
"""Failed model calls of one run and one life in any minute; each time somebody meddles allows one more.

Full jitter from 1 s, doubling, stays below; more is no backoff at all.
"""
LATE = 60.0
"""Seconds by which a change of what a run depends on (its Secret, LLM, agent, own labels) may be seen late.

A pass begins before it asks, watch events are held back, and a stale list is put right by the watch after it.
"""
CHECKS_A_MINUTE = 30
MOST_BYTES = 256 * 1024
"""Of one object, whatever tools return and however long the run."""
STARTS_A_CALL = 8
"""Starts of one repeatable tool call per life of the program."""


def verdict(past: Past) -> list[str]:
    """Everything that is wrong with the world."""
    return [f"{judge.__name__.strip('_')}: {sentence}" for judge in JUDGES for sentence in judge(past)]


def _finds_an_end(past: Past) -> Iterator[str]:
    """Every run is finished, or says what it waits for, and that is something which never came."""
    by_name = {r.metadata.name: r for r in past.runs}
    for plan in past.world.runs:
        run = by_name.get(plan.name)
        if run is None:
            yield f"{plan.name} is gone"
        elif not run.status.finished and not (reason := _good_reason(past, run)):
            yield f"{plan.name} is stuck in {run.status.phase}, waiting on {run.status.waiting_on!r} {reason}"
        elif run.status.phase == "Failed" and not _failed_rightly(past, run):
            yield f"{plan.name} failed for no good reason: {run.status.error}"


def _good_reason(past: Past, run: TaskRun) -> bool:
    said, doom = run.status.waiting_on, past.world.doomed
    if doom in ("model down", "model busy"):
        return said == "llm:model" or said.startswith("llm:model (")
    if doom == "no task":
        return said.startswith(f"task:{run.spec.task} (not found")
    unanswered = [c for c in _children(past, run) if c.metadata.name in past.decisions.open]
    return any(f"tool:{c.spec.tool}" in said for c in unanswered)


def _failed_rightly(past: Past, run: TaskRun) -> bool:
    condition = next((c for c in run.status.conditions if c.type == "Succeeded"), None)
    if condition is None or condition.status != "False" or not run.status.error:
        return False
    asked = past.models.of(question(run))
    lives = [
        [a.ending for a in asked if a.life == life and a.ending != "transient"] for life in range(past.lives + 1)
    ]
    counted = [end for ends in lives for end in ends if end != "cut off"]  # in the run, over all its lives
    return any(ends[-1:] == ["terminal"] for ends in lives) or counted[-3:] == ["empty"] * 3


def _cost(asked: Asked) -> int:
    return (asked.usage.input or 0) + (asked.usage.output or 0)


def _tells_the_story_once(past: Past) -> Iterator[str]:
    """Each reply in a transcript was handed out for exactly the messages before it, and none stands twice."""
    for run in past.runs:
        name, messages = run.metadata.name, past.transcripts[run.metadata.name]
        handed = {a.number: a for a in past.models.of(question(run)) if a.ending == "reply"}
        for at, message in enumerate(messages):
            if message.role == "assistant":
                asked = next((a for a in handed.values() if a.reply and a.reply.message == message), None)
                if asked is None:
                    yield f"{name}: message {at} is no reply of its model, or is there twice: {_short(message)}"
                    continue
                del handed[asked.number]
                if asked.given not in (messages[:at], mended(messages[:at])):
                    yield f"{name}: reply {asked.number} was given for other messages than those before it"
        if run.status.turns != sum(m.role == "assistant" for m in messages):
            yield f"{name}: {run.status.turns} turns are counted"
        tokens = sum(_cost(a) for a in checkpointed(past, run))
        # A reply with nothing in it is paid for too, and counted if the run lived to save that.
        possible = {tokens}
        for empty in (a for a in past.models.of(question(run)) if a.ending == "empty"):
            possible |= {sum_ + _cost(empty) for sum_ in possible}
        if run.status.tokens not in possible:
            yield f"{name}: {run.status.tokens} tokens are counted where the replies kept cost {tokens}"


def _answers_each_call(past: Past) -> Iterator[str]:
    """Behind each reply stand the answers to its calls, one each, in call order, as the ToolCalls say."""
    for run in past.runs:
        messages = past.transcripts[run.metadata.name]
        calls, expected = {c.metadata.name: c for c in _children(past, run)}, set()
        turn = 0
        for at, message in enumerate(messages):
            if message.role == "tool" and _asker(messages, at) is None:
                yield f"{run.metadata.name}: message {at} answers nothing"
            if message.role != "assistant":
                continue
            turn += 1
            meta = run.metadata
            names = [tool_call_name(meta.name, meta.uid, turn, n + 1) for n in range(len(message.tool_calls))]
            expected.update(names)
            answers = messages[at + 1 : at + 1 + len(names)]
            if not answers and not run.status.finished:
                continue
            if not answers and run.status.phase == "Failed":
                continue
            told = [
                result_message(r, calls[n]) for r, n in zip(message.tool_calls, names, strict=True) if n in calls
            ]
            if answers != told:
                yield f"{run.metadata.name}: the answers to turn {turn} are {[_short(m) for m in answers]}"
        if surplus := calls.keys() - expected:
            yield f"{run.metadata.name}: nobody asked for {sorted(surplus)}"


def _asker(messages: Sequence[Message], at: int) -> Message | None:
    """The reply that a tool's message belongs to."""
    for before in reversed(messages[:at]):
        if before.role == "assistant":
            return before if before.tool_calls else None
        if before.role != "tool":
            return None
    return None


def _keeps_what_tools_said(past: Past) -> Iterator[str]:
    """A result is what the tool or a person said, and where it is too big it is cut and kept."""
    for call in past.calls:
        uid, status = call.metadata.uid, call.status
        if status.phase != "Succeeded" or call.spec.tool == "read_result":
            continue
        said = [r.result for r in past.tools.of(uid) if r.result is not None]
        said += [past.decisions.results[uid]] if uid in past.decisions.results else []
        if status.stored is not None:
            said = [s[: len(status.result)] for s in said if len(s) == status.stored.characters]
        if status.result not in said:
            yield f"{call.metadata.name}: nobody said {status.result[:60]!r}"


def _runs_once_what_must_not_repeat(past: Past) -> Iterator[str]:
    tools = {t.name: t for t in past.world.tools}
    for (uid, name), starts in Counter((r.uid, r.tool) for r in past.tools.ran).items():
        allowed = 1 + past.decisions.repeats.get(uid, 0)
        if starts > allowed and not tools[name].may_repeat:
            yield f"{name} ({tools[name].effect}) was started {starts} times for one call, {allowed} allowed"


def _gives_up_in_time(past: Past) -> Iterator[str]:
    """No failure is tried again without growing delay, and Retry-After is kept."""
    for run in past.runs:
        asked = past.models.of(question(run))
        for life in range(1, past.lives + 1):
            failed = [a.at for a in asked if a.life == life and a.ending in ("transient", "empty")]
            if (worst := _most_in(failed, 60.0)) > FAILED_ASKS_A_MINUTE + len(past.decisions.meddled):
                yield f"{run.metadata.name}: {worst} failed model calls in a minute"
        yield from _comes_back_early(past, run.metadata.name, asked)
    if (worst := _most_in(past.models.checks, 60.0)) > CHECKS_A_MINUTE * past.lives:
        yield f"{worst} checks of the key in a minute"
    for uid, starts in Counter(r.uid for r in past.tools.ran).items():
        allowed = STARTS_A_CALL * past.lives + past.decisions.repeats.get(uid, 0)
        if starts > allowed:
            yield f"the ToolCall with uid {uid} was started {starts} times"


def _comes_back_early(past: Past, name: str, asked: Sequence[Asked]) -> Iterator[str]:
    """Whoever meddles may have it asked again at once, if only when that is seen: `LATE`."""
    for before, after in pairwise(asked):
        meddled = any(before.at - LATE <= t <= after.at for t in past.decisions.meddled)
        if before.life == after.life and not meddled and before.later and after.at < before.at + before.later:
            yield f"{name}: asked again {after.at - before.at:.1f} s after a Retry-After of {before.later:g} s"


def _most_in(times: Sequence[float], seconds: float) -> int:
    return max((sum(t <= other < t + seconds for other in times) for t in times), default=0)


def _stays_at_rest(past: Past) -> Iterator[str]:
    if past.stirred and past.rested:
        yield f"it stirs at rest: {', '.join(past.stirred)}"


def _stays_small(past: Past) -> Iterator[str]:
    for name, size in past.sizes.items():
        if size > MOST_BYTES:
            yield f"{name} has {size:,} bytes"


def _has_no_bugs(past: Past) -> Iterable[str]:
    return past.bugs


def _does_not_spin(past: Past) -> Iterator[str]:
    """Passes are bounded by what happened."""
    if past.passes > pass_ceiling(past):
        yield f"{past.passes} passes, at most {pass_ceiling(past)} for {past.writes} writes"


def pass_ceiling(past: Past) -> int:
    """Passes that a world may need: for each write and each fault, and for each start of the program."""
    faults = past.weather.tally.total() + len(past.models.asked)
    return 4 * past.writes + 6 * faults + 60 * past.lives


JUDGES: tuple[Callable[[Past], Iterable[str]], ...] = (
    _finds_an_end, _tells_the_story_once, _answers_each_call, _keeps_what_tools_said,
    _runs_once_what_must_not_repeat, _gives_up_in_time, _stays_at_rest, _stays_small, _has_no_bugs, _does_not_spin,
)  # fmt: skip


def checkpointed(past: Past, run: TaskRun) -> list[Asked]:
    """The calls of the model whose reply is in the transcript."""
    kept = [m for m in past.transcripts[run.metadata.name] if m.role == "assistant"]
    return [a for a in past.models.of(question(run)) if a.reply and a.reply.message in kept]


def necessary(past: Past) -> tuple[int, int, int]:
    """(replies kept, replies paid for and lost, those of them that a kill excuses).

    A reply is lost when the model handed it out and no transcript has it. A kill excuses it when the process that
    asked was killed and did not ask for the same run again, or was one of two. Calls that the model itself failed
    (429, 5xx, an empty reply, ...) are neither: asking again is what has to be done, and is bounded by
    `_gives_up_in_time`.
    """
    kept = lost = excused = 0
    for run in past.runs:
        asked, good = past.models.of(question(run)), checkpointed(past, run)
        for number, one in enumerate(asked):
            if one in good:
                kept += 1
            elif one.ending == "reply":
                lost += 1
                again = any(later.life == one.life for later in asked[number + 1 :])
                excused += one.life in past.fate.overlapping or (one.life < past.lives and not again)
    return kept, lost, excused


def question(run: TaskRun) -> str:
    """What the run asks, by which its model knows it."""
    return run.spec.user_message or ""


def _children(past: Past, run: TaskRun) -> list[ToolCall]:
    """Those of an earlier run of that name too: they are to be gone."""
    return [c for c in past.calls if c.spec.task_run == run.metadata.name]


def _short(message: Message) -> str:
    calls = [c.id for c in message.tool_calls]
    return f"{message.role} {(message.content or '')[:50]!r}{calls or ''}"
