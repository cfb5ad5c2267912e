"""Requests that nobody waits for go one by one, more at a time when many wait, and none gets lost."""

from __future__ import annotations

import asyncio

import pytest

from kubechain.cluster.lane import WAITING_FOR_ONE_MORE, Lane

pytestmark = pytest.mark.timeout(10)


class Traffic:
    """Requests in a lane, each of which ends when it is told to."""

    def __init__(self) -> None:
        self.lane = Lane()
        self.inside: list[int] = []
        self.done: list[int] = []
        self.most = 0
        self._end = asyncio.Semaphore(0)

    async def request(self, number: int) -> None:
        async with self.lane:
            self.inside.append(number)
            self.most = max(self.most, len(self.inside))
            await self._end.acquire()
            self.inside.remove(number)
            self.done.append(number)

    async def end(self, count: int) -> None:
        for _ in range(count):
            self._end.release()
        for _ in range(10):
            await asyncio.sleep(0)


async def test_few_go_one_after_the_other_in_their_order() -> None:
    traffic = Traffic()
    async with asyncio.TaskGroup() as group:
        for number in range(WAITING_FOR_ONE_MORE):
            group.create_task(traffic.request(number))
        for number in range(WAITING_FOR_ONE_MORE):
            await traffic.end(1)
            assert traffic.done == list(range(number + 1))
    assert traffic.most == 1


async def test_many_go_several_at_a_time_and_all_arrive() -> None:
    traffic = Traffic()
    async with asyncio.TaskGroup() as group:
        for number in range(10 * WAITING_FOR_ONE_MORE):
            group.create_task(traffic.request(number))
        while len(traffic.done) < 10 * WAITING_FOR_ONE_MORE:
            await traffic.end(1)
    assert traffic.done == list(range(10 * WAITING_FOR_ONE_MORE))
    assert 1 < traffic.most <= 10


async def test_whoever_gives_up_leaves_room_for_the_others() -> None:
    traffic = Traffic()
    tasks = [asyncio.create_task(traffic.request(number)) for number in range(5)]
    await traffic.end(0)
    for number in (0, 2, 3):
        tasks[number].cancel()
    await traffic.end(2)
    assert traffic.done == [1, 4]
    await asyncio.gather(*tasks, return_exceptions=True)
    late = asyncio.create_task(traffic.request(5))
    await traffic.end(1)
    assert traffic.done == [1, 4, 5]
    await late
