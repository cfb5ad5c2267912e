"""Loggers that cost nothing until there is something to say.

Used wherever a line for operators is written. structlog is imported with the first line: a start that is in order
says nothing, and is spared some 14 ms of imports. Settings are structlog's own.
"""

from __future__ import annotations

import sys
from typing import Any


class Logger:
    """structlog's logger of that name, with these values bound to every line."""

    def __init__(self, name: str, **values: object) -> None:
        self._name = name
        self._values = values

    def __getattr__(self, method: str) -> Any:
        return getattr(_structlog().get_logger(self._name).bind(**self._values), method)


def _structlog() -> Any:
    """The library, without rich: it would take that for its tracebacks, as heavy as the API server."""
    hidden = "structlog" not in sys.modules and "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog

        return structlog
    finally:
        if hidden:
            del sys.modules["rich"]
