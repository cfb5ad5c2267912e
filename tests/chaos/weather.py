"""What goes wrong, how often, and until when: one `Weather` per world, drawn from its seed.

Every injector asks it; it keeps the tally. It knows nothing of what it spoils.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chaos.fate import Fate

SKIES: Mapping[str, float] = {"calm": 0.0, "fair": 0.02, "rough": 0.08, "storm": 0.25}
REGIONS = ("read", "write", "watch", "model", "tool")


@dataclass
class Weather:
    """`rates` by region: the chance that one operation is spoiled. After `clears` (loop time) nothing is."""

    seed: int
    rates: Mapping[str, float]
    clears: float
    fate: Fate
    tally: Counter[str] = field(default_factory=Counter)
    _dice: dict[str, random.Random] = field(default_factory=dict)

    def dice(self, name: str) -> random.Random:
        """A source of chance of its own for every name, so that one more draw moves no other."""
        if name not in self._dice:
            self._dice[name] = random.Random(f"{self.seed}/{name}")
        return self._dice[name]

    def strikes(self, region: str, *, factor: float = 1.0) -> bool:
        """Whether this operation is spoiled."""
        if asyncio.get_running_loop().time() > self.clears:
            return False
        return self.dice(region).random() < self.rates[region] * factor

    def injected(self, what: str) -> None:
        """Something is about to go wrong: into the tally and the diary."""
        self.tally[what] += 1
        self.fate.note(f"         {what}")


def weather(seed: int, start: float, fate: Fate) -> Weather:
    """The weather of a seed: each region has a sky of its own."""
    chance = random.Random(f"{seed}/weather")
    rates = {region: SKIES[chance.choice(list(SKIES))] for region in REGIONS}
    return Weather(seed, rates, start + chance.choice((20.0, 60.0, 300.0)), fate)
