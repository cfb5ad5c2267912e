"""Imports the whole program in the time that it takes, without what nobody will see of it.

Used by `up` around its import of it. The collector finds no garbage among modules; and rich, which structlog takes
for its tracebacks where it can, is as heavy as the API server and out of place in a log.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lightly() -> Iterator[None]:
    """What is imported in the block is left alone by the collector from then on."""
    gc.disable()
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    try:
        import structlog  # noqa: F401

        if sys.modules["rich"] is None:
            del sys.modules["rich"]
        yield
    finally:
        gc.freeze()
        gc.enable()
