"""Makes importing the whole program faster.

Used by `up` around its import of it. The garbage collector finds nothing in modules, and the
parser of HTML forms, which starlette imports if it can, is not needed.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FORMS = ("python_multipart", "multipart")


@contextmanager
def lightly() -> Iterator[None]:
    """Excludes what is imported in the block from garbage collection."""
    gc.disable()
    hidden = [name for name in _FORMS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name)
        gc.freeze()
        gc.enable()
