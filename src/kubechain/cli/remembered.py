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
    """Options of `kubechain up`; `model` is scripted or own."""

    model: str = "own"
    model_delay: float = 0.0
    functions: tuple[str, ...] = ()

    @property
    def spoken(self) -> str:
        """The options as they are written on the command line; "" for the defaults."""
        model = f"--model {self.model}" if self.model != "own" else ""
        delay = f"--model-delay {self.model_delay:g}s" if self.model_delay else ""
        return " ".join(filter(None, [model, delay, *(f"--functions {folder}" for folder in self.functions)]))


def recall(state: Path) -> Remembered:
    """What the folder was last started with; the defaults for a new one."""
    try:
        said = json.loads((state / _FILE).read_text())
        return Remembered(str(said["model"]), float(said["model_delay"]), tuple(map(str, said["functions"])))
    except (OSError, ValueError, TypeError, KeyError):
        return Remembered()


def remember(state: Path, settings: Remembered) -> None:
    """Saves the options atomically, for the next start."""
    if recall(state) == settings:
        return
    fresh = state / f".{_FILE}"
    fresh.write_text(json.dumps(asdict(settings), indent=2) + "\n")
    fresh.replace(state / _FILE)
