"""Where `kubechain up` keeps its state. Read by the commands that start, find or stop it."""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    """The folder in which `kubechain up` keeps its state when it is not told another."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "kubechain"
