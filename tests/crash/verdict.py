"""What must hold at the end of a world, however often the program was killed on the way."""

from __future__ import annotations

import msgspec

from kubechain.resources.json import JsonObject
from tests.crash.world import World

CUT_OFF = "Error: the call was interrupted and is not repeated (onInterrupt: Fail)"


async def judge(world: World, clean: JsonObject) -> None:
    """Raises AssertionError unless the world ended as `clean` did, and repeated nothing it should not have."""
    assert await world.end() == _expected(world, clean)
    turns = (await world.run()).status.turns
    assert set(world.asked) == set(range(turns))
    for turn in range(turns):
        _may(world, world.asked[turn], 1 + world.unsaved_replies[turn], f"turn {turn} was asked for")
    asking = {tool for tool in world.cut_off if world.stage.story.policy(tool) == "Ask"}
    assert world.lost_track == asking, "a call that a kill cut off is put before a person, and no other"
    await _effects(world)


def _expected(world: World, clean: JsonObject) -> JsonObject:
    """The clean end; of calls that were cut off and whose policy is Fail the model is told so."""
    text = msgspec.json.encode(clean).decode()
    for tool in world.cut_off:
        if world.stage.story.policy(tool) == "Fail":
            text = text.replace(f'["Succeeded","noted {tool}"]', f'["Failed","{CUT_OFF}"]')
            text = text.replace(f'"noted {tool}"', f'"{CUT_OFF}"')
    expected: JsonObject = msgspec.json.decode(text)
    return expected


async def _effects(world: World) -> None:
    for call in await world.calls():
        tool = call.spec.tool
        times = world.stage.journal.times(call.metadata.uid)
        match world.stage.story.policy(tool):
            case "Retry":
                _may(world, times, 1 + world.unsaved_results[tool], f"{tool} ran")
            case "Fail":
                assert times <= 1, f"{tool} ran {times} times"
                assert times == 1 or tool in world.cut_off
            case "Ask":
                assert 1 <= times <= 1 + world.leave[tool], f"{tool} ran {times} times"
                assert times == 1 or not world.stage.outside.exact
            case "":
                assert not times


def _may(world: World, times: int, most: int, what: str) -> None:
    """Once, and once more for each kill between the effect and its being saved."""
    assert 1 <= times <= most, f"{what} {times} times, expected {most}"
    assert times == most or not world.stage.outside.exact, f"{what} {times} times, expected {most}"
