"""What holds for every test: real model hosts are impossible to reach."""

from __future__ import annotations

from tests.loopback import only_loopback

__all__ = ["only_loopback"]
