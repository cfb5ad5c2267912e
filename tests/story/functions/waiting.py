"""A function that does not come back: what uses it is cut off."""

from __future__ import annotations

import threading


def wait_for_ever(message: str) -> str:
    """Never returns."""
    threading.Event().wait()
    return message
