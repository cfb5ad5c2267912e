"""The real clock, in UTC. The composition roots pass it to what they create, and commands use it for ages.

Controllers and decisions never call it; they use the clock that they are given, so tests can set the time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
