"""What of the work is this replica's. Told by `replica` who else is there; asked by the workers before every pass.

Guarantees, as long as every replica reads the others' newest claims: a shard is acted on by one replica at a time.
A replica stops taking up what it loses at once, says so, and goes on to the end of what is in its hands; it takes
up what it gains once it has said so itself and nobody else who is alive claims it.
Caveat: two replicas whose views change back and forth within the same moment may both ask a model. Decides only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Generic, Literal, TypeVar

from kubechain.resources.model import Resource
from kubechain.runtime.replicas.claim import Claim, mark, owner

R = TypeVar("R", bound=Resource)
Turn = Literal["ours", "held", "theirs"]
"""`held`: ours, but another replica that is alive may be at work on it still."""
Changed = Callable[[bool], None]
"""Told that turns may have changed: all of them, or (False) those of what is held alone."""


class Share:
    """The share of the replica `name`. `holder` is this life of it: what it writes where it is at work.

    `on_rest` is called when the last pass over a shard has ended, while work changes hands. `good`: whether nobody
    takes this replica for dead yet, asked right before what must not happen twice.
    """

    def __init__(
        self,
        name: str = "",
        holder: str = "",
        *,
        leading: bool = False,
        on_rest: Callable[[], None] = lambda: None,
        good: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.holder = holder
        self.leading = leading
        """Whether this replica looks after the kinds that are not shared out."""
        self.view: frozenset[str] = frozenset()
        """The replicas among which the work is to be shared out, this one among them."""
        self.said = Claim(name)
        """What the others have been told."""
        self.alive: frozenset[str] = frozenset()
        """The lives of all other replicas that are alive."""
        self._others: tuple[Claim, ...] = ()
        self._unlike: tuple[Claim, ...] = ()
        """Those claims which another view, or work in hand, makes differ from ours."""
        self._busy: Counter[str] = Counter()
        self._told: list[Changed] = []
        self.on_rest = on_rest
        self.undivided = False
        """Whether there is nobody to share with, now or later."""
        self.good = good

    def turn(self, shard: str) -> Turn:
        """Whether to act on a shard now."""
        if not self.view or owner(shard, self.view) != self.name:
            return "theirs"
        if self.said.members != self.view and not self.said.covers(shard):
            return "held"
        return "held" if any(claim.covers(shard) for claim in self._unlike) else "ours"

    def begun(self, shard: str) -> None:
        """A pass over the shard has begun."""
        self._busy[shard] += 1

    def ended(self, shard: str) -> None:
        """A pass over the shard has ended."""
        self._busy[shard] -= 1
        if not self._busy[shard]:
            del self._busy[shard]
            if self.said.still_at or self.said.members != self.view:
                self.on_rest()

    @property
    def busy(self) -> Collection[str]:
        """Shards with passes in hand."""
        return self._busy.keys()

    def due(self, *, leaving: bool = False) -> Claim:
        """What the others are to be told now."""
        view = frozenset[str]() if leaving else self.view
        still_at = frozenset(mark(s) for s in self._busy if leaving or owner(s, view) != self.name)
        return Claim(self.name, view, still_at, leaving)

    def see(self, view: frozenset[str], others: Iterable[Claim], alive: frozenset[str]) -> None:
        """Takes in who else is there; what this replica loses by it is not begun any more from now on."""
        before = self.view, self._others, self.alive
        self.view, self._others, self.alive = view, tuple(others), alive
        if before != (self.view, self._others, self.alive):
            self._judge(everything=before[0] != view)

    def tell(self, claim: Claim) -> None:
        """The others can read this claim from now on."""
        before, self.said = self.said, claim
        if before.members != claim.members:
            self._judge(everything=False)

    def lead(self, leading: bool) -> None:
        """This replica looks after what is not shared out, from now on or no more."""
        if self.leading != leading:
            self.leading = leading
            self._judge(everything=True)

    def retire(self) -> None:
        """Nothing is begun any more; what is in hand is brought to its end. `on_rest` tells of each that is."""
        self.undivided = False
        self.lead(False)
        self.see(frozenset(), (), frozenset())

    def on_change(self, told: Changed) -> None:
        self._told.append(told)

    def _judge(self, *, everything: bool) -> None:
        self._unlike = tuple(claim for claim in self._others if claim.members != self.view or claim.still_at)
        for told in self._told:
            told(everything)


def alone() -> Share:
    """The share of the only replica there is: everything."""
    share = Share(leading=True)
    share.view, share.said = frozenset({""}), Claim("", frozenset({""}))
    share.undivided = True
    return share


class Turns(Generic[R]):
    """Whose turn it is with an object, for one worker. This one: always ours."""

    def of(self, obj: R) -> Turn:
        return "ours"

    def begun(self, obj: R) -> None:
        """A pass has begun."""

    def ended(self, obj: R) -> None:
        """It has ended."""


class Led(Turns[R]):
    """The leader's alone."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def of(self, obj: R) -> Turn:
        return "ours" if self._share.leading else "theirs"


class Sharded(Turns[R]):
    """By the shard of an object, and by who is at work on it: `holder` gives that life of a replica, or "".

    What is `in_hand` here is brought to its end here, whoever the shard falls to meanwhile.
    """

    def __init__(
        self,
        share: Share,
        shard: Callable[[R], str],
        holder: Callable[[R], str] = lambda obj: "",
        in_hand: Callable[[R], bool] = lambda obj: False,
    ) -> None:
        self._share, self._shard, self._holder, self._in_hand = share, shard, holder, in_hand

    def of(self, obj: R) -> Turn:
        if self._share.undivided or self._in_hand(obj):
            return "ours"
        turn = self._share.turn(self._shard(obj))
        return "held" if turn == "ours" and self._holder(obj) in self._share.alive else turn

    def begun(self, obj: R) -> None:
        self._share.begun(self._shard(obj))

    def ended(self, obj: R) -> None:
        self._share.ended(self._shard(obj))
