"""`python -m tests.fuzz.api --seeds 0:20000`: sends a range of strange requests and prints what came of them.

Exits 1 when an answer was wrong or late, when others had to wait, or when memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.api.requests import request
from tests.fuzz.api.runner import NEIGHBOUR, Past, run

SHOWN = 20
MAX_GROWN = 100 * 1024 * 1024


def main() -> int:
    """Runs the range that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api", description=__doc__)
    parser.add_argument("--seeds", default="0:20000", help="FIRST:LAST+1")
    parser.add_argument("--show", action="store_true", help="print the requests in place of sending them")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(":"))
    if given.show:
        for seed in range(first, last):
            print(seed, request(seed))
        return 0
    logging.getLogger().addHandler(logging.NullHandler())
    since = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        past = asyncio.run(run(range(first, last), Path(folder)))
    return _told(past, last - first, time.monotonic() - since)


def _told(past: Past, count: int, seconds: float) -> int:
    for seed, failure in list(past.failures.items())[:SHOWN]:
        print(f"seed {seed}: {failure}")
    for text, times in past.tracebacks.most_common(SHOWN):
        print(f"{times} times:\n{text}\n")
    print(f"{count} requests in {seconds:.0f} s; answers by code: {dict(sorted(past.codes.items()))}")
    print(f"slowest {past.slowest:.2f} s; a small request beside them waited {past.waited:.2f} s at most")
    print(f"memory grew by {past.grown / 1024 / 1024:.0f} MB; {len(past.failures)} failures")
    return 1 if past.failures or past.tracebacks or past.waited > NEIGHBOUR or past.grown > MAX_GROWN else 0


if __name__ == "__main__":
    sys.exit(main())
