"""Which part of the work this replica does. `replica` says which others there are; workers ask before each pass.

Guarantees, as long as every replica reads the newest claims of the others: one replica at a time works on a shard.
A replica that loses a shard starts no new pass over it, announces that, and finishes the passes in progress. It
starts work on a shard that it gains once it has announced its claim and no other live replica claims the shard.
Caveat: two replicas whose views change back and forth within a moment may both ask a model. Decides only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Generic, Literal, TypeVar

from kubechain.resources.model import Resource
from kubechain.runtime.replicas.claim import Claim, mark, owner

R = TypeVar("R", bound=Resource)
Ownership = Literal["ours", "held", "theirs"]
"""`held`: this replica's, but another live replica may still be working on it."""
Changed = Callable[[bool], None]
"""Told that ownership may have changed: of all shards, or (False) only of those that are `held`."""


class Share:
    """The share of the replica `name`. `holder` identifies this start of it: it is written where it works.

    `on_rest` is called when the last pass over a shard has ended while work is handed over. `good`: whether no
    other replica considers this one dead, checked right before something that must not happen twice.
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
        """Whether this replica handles the kinds that are not shared out."""
        self.view: frozenset[str] = frozenset()
        """The replicas that share the work, including this one."""
        self.said = Claim(name)
        """The claim that the other replicas can read."""
        self.alive: frozenset[str] = frozenset()
        """The lives of all other replicas that are alive."""
        self._others: tuple[Claim, ...] = ()
        self._unlike: tuple[Claim, ...] = ()
        """Claims of replicas that have another view, or still work on shards that they lost."""
        self._busy: Counter[str] = Counter()
        self._told: list[Changed] = []
        self.on_rest = on_rest
        self.undivided = False
        """Whether this replica never shares its work."""
        self.good = good

    def ownership(self, shard: str) -> Ownership:
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
        """Shards with passes in progress."""
        return self._busy.keys()

    def due(self, *, leaving: bool = False) -> Claim:
        """The claim that the others should be able to read now."""
        view = frozenset[str]() if leaving else self.view
        still_at = frozenset(mark(s) for s in self._busy if leaving or owner(s, view) != self.name)
        return Claim(self.name, view, still_at, leaving)

    def see(self, view: frozenset[str], others: Iterable[Claim], alive: frozenset[str]) -> None:
        """Sets which replicas there are.

        From now on, no pass starts over a shard that this replica loses by it.
        """
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
        """Sets whether this replica handles what is not shared out."""
        if self.leading != leading:
            self.leading = leading
            self._judge(everything=True)

    def retire(self) -> None:
        """Starts no more passes. Those in progress are finished; `on_rest` reports each."""
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


class Sharing(Generic[R]):
    """Which replica owns an object, for one worker. This class: always this one."""

    def of(self, obj: R) -> Ownership:
        return "ours"

    def begun(self, obj: R) -> None:
        """A pass has begun."""

    def ended(self, obj: R) -> None:
        """It has ended."""


class Led(Sharing[R]):
    """The leader owns all objects."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def of(self, obj: R) -> Ownership:
        return "ours" if self._share.leading else "theirs"


class Sharded(Sharing[R]):
    """Ownership by the shard of an object, and by the replica that is working on it (`holder`; "" for none).

    Work that is `in_hand` here is finished here, even if another replica gets the shard meanwhile.
    """

    def __init__(
        self,
        share: Share,
        shard: Callable[[R], str],
        holder: Callable[[R], str] = lambda obj: "",
        in_hand: Callable[[R], bool] = lambda obj: False,
    ) -> None:
        self._share, self._shard, self._holder, self._in_hand = share, shard, holder, in_hand

    def of(self, obj: R) -> Ownership:
        if self._share.undivided or self._in_hand(obj):
            return "ours"
        ownership = self._share.ownership(self._shard(obj))
        return "held" if ownership == "ours" and self._holder(obj) in self._share.alive else ownership

    def begun(self, obj: R) -> None:
        self._share.begun(self._shard(obj))

    def ended(self, obj: R) -> None:
        self._share.ended(self._shard(obj))
