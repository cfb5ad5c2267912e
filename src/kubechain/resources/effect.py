"""What a repeated call of a tool does, what follows when a call is interrupted, and which failures may pass."""

from __future__ import annotations

from typing import Literal

Effect = Literal["ReadOnly", "Idempotent", "NonIdempotent"]
Interrupt = Literal["Retry", "Fail", "Ask"]
Trouble = Literal["Timeout", "Transient", "RateLimited", "ServerError"]
"""Failures after which the same call may succeed: no answer in time, no connection, too many requests, an error of
the server."""
