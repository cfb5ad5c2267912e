"""`python -m tests.fuzz.models --seeds 0:20000`: plays a range of seeds and prints what came out wrong.

One seed alone (`--seeds 7:8`) is printed with what the server said. Exits 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz.models.delivery import deliver
from tests.fuzz.models.play import played

SHARE = 500
SHOWN = 40


def _played(seeds: range) -> dict[int, list[str]]:
    return asyncio.run(played(seeds))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.models", description=__doc__)
    parser.add_argument("--seeds", default="0:20000", help="first:end")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    first, end = (int(part) for part in given.seeds.split(":"))
    began = time.monotonic()
    shares = [range(at, min(at + SHARE, end)) for at in range(first, end, SHARE)]
    wrong: dict[int, list[str]] = {}
    with ProcessPoolExecutor(given.processes) as pool:
        for found in pool.map(_played, shares):
            wrong |= found
    if end - first == 1:
        print(deliver(first))
    for seed, sentences in sorted(wrong.items())[:SHOWN]:
        print(f"seed {seed}: {'; '.join(sentences)[:600]}")
    faults = Counter(deliver(seed).fault for seed in range(first, end))
    print(f"{end - first} replies in {time.monotonic() - began:.0f} s, {dict(faults)}: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
