"""The program killed at every effect point, and at every pair of them: each story ends as if nothing had happened.

`-s` prints how many points, pairs and seconds.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from structlog.types import EventDict

from kubechain.agents.ports.model import Endpoint
from kubechain.cluster.remote import connect
from kubechain.cluster.target import ClusterSettings
from kubechain.providers.tools.function.calls import FunctionCall
from kubechain.resources.json import JsonObject
from kubechain.resources.llm import LLM, LLMSpec
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.chaos.clockwork import Inline
from tests.crash.outside import InProcess, Journal, Pause, one_turn, over_http
from tests.crash.points import STILL, Points
from tests.crash.stories import ANSWER, STORIES, CrashStory
from tests.crash.verdict import judge
from tests.crash.world import Stage
from tests.kubernetes import Kubernetes
from tests.story.conftest import FUNCTIONS

pytestmark = pytest.mark.timeout(600)
TRIES = 3
ON_A_CLUSTER = ("a tool that only reads", "a tool that must not repeat", "work done outside")
"""One of each kind of call: the others differ in what is decided, not in what is written."""
every_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """Commits take one turn of the loop, however busy the machine is: the same points come again."""
    async with Store.open(None, clock=now, thread=Inline()) as made:
        yield made


@pytest.mark.parametrize("story", [s for s in STORIES if not s.takes_long], ids=lambda story: story.name)
async def test_a_run_killed_at_any_effect_point_ends_as_if_nothing_had_happened(
    story: CrashStory, store: Store, journal: Journal
) -> None:
    async with over_http(story.script, FUNCTIONS) as outside:
        await _every_point(Stage(story, store, outside, journal, from_nothing=False), pairs=False)


@pytest.mark.cluster
@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("story", [s for s in STORIES if s.name in ON_A_CLUSTER], ids=lambda story: story.name)
async def test_a_run_on_a_real_api_server_killed_at_any_effect_point_ends_as_if_nothing_had_happened(
    story: CrashStory, kubernetes: Kubernetes, journal: Journal
) -> None:
    prefix = f"crash-{secrets.token_hex(3)}"
    async with (
        connect(ClusterSettings(kubernetes.kubeconfig)) as api,
        over_http(story.script, FUNCTIONS) as outside,
    ):
        stage = Stage(story, api, outside, journal, from_nothing=False, prefix=prefix)
        await _every_point(stage, pairs=False)


@every_story
async def test_a_run_killed_at_any_two_effect_points_ends_as_if_nothing_had_happened(
    story: CrashStory, store: Store, journal: Journal
) -> None:
    outside = InProcess(story.script, a_while() if story.takes_long else one_turn)
    await _every_point(Stage(story, store, outside, journal, story.from_nothing), pairs=True)


def a_while() -> Pause:
    """Two seconds that pass at once: the loop's clock is put forward, and what is due by then gets its turn."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0

    async def pause() -> None:
        nonlocal ahead
        ahead += 2.0
        for _ in range(STILL):
            await asyncio.sleep(0)

    loop.time = lambda: real() + ahead  # type: ignore[method-assign]
    return pause


@every_story
async def test_model_and_functions_without_a_socket_answer_as_the_real_ones(
    story: CrashStory, journal: Journal
) -> None:
    near = InProcess(story.script)
    async with over_http(story.script, FUNCTIONS) as far:
        llm = LLM(metadata=ObjectMeta(name="model"), spec=LLMSpec(provider="openai-compatible"))
        endpoint = Endpoint(llm=llm, base_url=far.base_url)
        models = near.models(), far.models()
        told = [Message(role="system", content="Be helpful."), Message(role="user", content="Go.")]
        for _ in range(len(story.turns) + 1):
            reply, real = [await model.ask(endpoint, told, []) for model in models]
            assert reply == real
            told += [reply.message]
            for call in reply.message.tool_calls:
                arguments = call.function.arguments.encode()
                asked = FunctionCall(story.entrypoint, arguments, 10.0, {"JOURNAL": str(journal.path)}, call.id)
                result, really = [await functions.call(asked) for functions in (near.functions, far.functions)]
                assert result == really
                assert journal.times(call.id) == 2
                told += [Message(role="tool", tool_call_id=call.id, content=result)]
        for model in models:
            await model.close()
        assert reply.message.content == ANSWER
        assert near.asked() == far.asked() == Counter(range(len(story.turns) + 1))


async def _every_point(stage: Stage, *, pairs: bool) -> None:
    started, worlds, missed = time.perf_counter(), 0, 0
    with capture_logs() as logged:
        world = await stage.world()
        (clean_life,) = await world.play([])
        clean = await world.end()
        await judge(world, clean)
        assert len(set(clean_life.passed)) == len(clean_life.passed) > 0
        for first in clean_life.passed:
            lives = await _killed_at(stage, [first], clean)
            missed += lives is None
            for second in lives[1].passed if lives and pairs else ():
                missed += await _killed_at(stage, [first, second], clean) is None
                worlds += 1
    assert not [line for line in logged if _is_a_fault(line)]
    assert missed <= 1 + worlds // 100, "points must come again: else they were not where the program was killed"
    points, seconds = len(clean_life.passed), time.perf_counter() - started
    print(f"\n{stage.story.name}: {points} points, {worlds} pairs, {missed} missed, {seconds:.1f} s")


async def _killed_at(stage: Stage, kills: list[str], clean: JsonObject) -> list[Points] | None:
    """The lives of a world that was killed there; None where one of the points did not come again.

    That happens, rarely, to a point that real time brought about: a call that took so long that it was shown, say.
    """
    for _ in range(TRIES):
        world = await stage.world()
        lives = await world.play(kills)
        await judge(world, clean)
        if all(life.dead for life in lives[:-1]):
            return lives
    return None


def _is_a_fault(line: EventDict) -> bool:
    """Errors; but of a life that is being torn down, that its passes were cancelled is none."""
    return line["log_level"] == "error" and not isinstance(line.get("exc_info"), asyncio.CancelledError)
