"""The options with which a state folder was last started, for the next `kubechain up`.

Used by `up`. Holds options, never keys. A file that cannot be read counts as none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "settings.json"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Options of `kubechain up`; `model` is scripted or own, `container_engine` podman, docker or "" (either)."""

    model: str = "own"
    model_delay: float = 0.0
    functions: tuple[str, ...] = ()
    container_engine: str = ""

    @property
    def spoken(self) -> str:
        """The options as they are written on the command line; "" for the defaults."""
        model = f"--model {self.model}" if self.model != "own" else ""
        delay = f"--model-delay {self.model_delay:g}s" if self.model_delay else ""
        engine = f"--container-engine {self.container_engine}" if self.container_engine else ""
        folders = (f"--functions {folder}" for folder in self.functions)
        return " ".join(filter(None, [model, delay, engine, *folders]))


def recall(state: Path) -> Remembered:
    """What the folder was last started with; the defaults for a new one."""
    try:
        said = json.loads((state / _FILE).read_text())
        model, functions = str(said["model"]), tuple(map(str, said["functions"]))
        return Remembered(model, float(said["model_delay"]), functions, str(said.get("container_engine", "")))
    except (OSError, ValueError, TypeError, KeyError):
        return Remembered()


def remember(state: Path, settings: Remembered) -> None:
    """Saves the options atomically, for the next start."""
    if recall(state) == settings:
        return
    fresh = state / f".{_FILE}"
    fresh.write_text(json.dumps(asdict(settings), indent=2) + "\n")
    fresh.replace(state / _FILE)
