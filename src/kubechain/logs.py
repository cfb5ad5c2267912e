"""Loggers. They load the log library only when the first line is written.

Used wherever a line for operators is written. The CLI calls `configure` first. A start without problems writes no
lines, so it saves the 14 ms that importing structlog takes.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
_lowest = 0
"""The position in LEVELS of the lowest level that is written."""
_named = False
"""Whether a line says which logger wrote it."""


def configure(level: str, form: str) -> None:
    """Which lines are written, and how: `text` for people, `json` for programs, one object a line."""
    global _lowest, _named
    _lowest = LEVELS.index(level)
    if form == "json":
        _named = True
        _write_json()


class Logger:
    """A logger of that name, with these values bound to every line."""

    def __init__(self, name: str, **values: object) -> None:
        self._name = name
        self._values = values

    def debug(self, event: str, **values: object) -> None:
        self._write(0, event, values)

    def info(self, event: str, **values: object) -> None:
        self._write(1, event, values)

    def warning(self, event: str, **values: object) -> None:
        self._write(2, event, values)

    def error(self, event: str, **values: object) -> None:
        self._write(3, event, values)

    def exception(self, event: str, **values: object) -> None:
        """An error, with the traceback of the exception in hand."""
        self._write(3, event, {"exc_info": True, **values})

    def _write(self, level: int, event: str, values: dict[str, object]) -> None:
        if level >= _lowest:
            name = {"logger": self._name} if _named else {}
            logger = _structlog().get_logger(self._name)
            getattr(logger, LEVELS[level])(event, **(name | self._values | values))


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


def _write_json() -> None:
    """Our lines, and the warnings that libraries write with `logging`, as JSON on stdout."""
    structlog = _structlog()
    ours = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")]
    render = [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=str),
    ]
    structlog.configure(processors=[*ours, *render], logger_factory=structlog.PrintLoggerFactory())
    of_libraries = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*ours, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(of_libraries)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
