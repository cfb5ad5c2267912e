"""A bounded range of the fuzzer of API requests; `python -m tests.fuzz.api` runs as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.api.requests import Sent, request
from tests.fuzz.api.runner import NEIGHBOUR, Answer, judged, run


@pytest.mark.parametrize("first", [0, 100_000])
async def test_strange_requests_are_answered_well_and_in_time(tmp_path: Path, first: int) -> None:
    past = await run(range(first, first + 400), tmp_path)
    assert past.failures == {}
    assert list(past.tracebacks) == []
    assert past.waited < NEIGHBOUR
    assert {200, 201, 400, 401, 404, 405, 409, 422} <= past.codes.keys()


def test_a_seed_is_always_the_same_request() -> None:
    assert all(str(request(seed)) == str(request(seed)) for seed in range(100))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(500, {"content-type": "text/plain"}, b"Internal Server Error"), "500"),
        (Answer(400, {"content-type": "application/json"}, b'{"kind":"Status","code":422}'), "without its Status"),
        (Answer(200, {"content-type": "application/json"}, b"{"), "no JSON"),
        (Answer(999, {}, b""), "the code"),
        (Answer(500, {"content-type": "application/json"}, b'{"kind":"Status","code":500}'), "500"),
        (Answer(404, {"content-type": "text/plain"}, b"404 page not found"), ""),
    ],
)
def test_an_answer_that_is_no_answer_is_a_failure(answer: Answer, said: str) -> None:
    wrong = judged(Sent("GET", "/api"), answer)
    assert said in wrong
    assert bool(wrong) == bool(said)
