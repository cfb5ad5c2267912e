"""Imports the whole program in the time that it takes, without what nobody will see of it.

Used by `up` around its import of it. The collector finds no garbage among modules; and the parser of HTML forms,
which starlette takes where it can, is for nothing here.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FORMS = ("python_multipart", "multipart")


@contextmanager
def lightly() -> Iterator[None]:
    """What is imported in the block is left alone by the collector from then on."""
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
