"""The claim of a replica in its Lease (what it works on), and which replica gets a shard. Pure.

A shard is the name of a run. One replica works on the run and its ToolCalls. `share` decides with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b

from msgspec import Struct

from kubechain.resources.kind import GROUP

AMONG = f"{GROUP}/acts-among"
AT_WORK = f"{GROUP}/still-at-work-on"
LEAVING = f"{GROUP}/leaving"


def owner(shard: str, members: Collection[str]) -> str:
    """The member that gets a shard, by rendezvous hashing; "" if there are no members.

    A member that joins gets some shards of every other; those of a member that leaves go to all; no others move.
    """
    if len(members) == 1:
        return next(iter(members))
    return max(members, key=lambda member: (_weight(member, shard), member), default="")


def _weight(member: str, shard: str) -> bytes:
    return blake2b(f"{member}\0{shard}".encode(), digest_size=8).digest()


def mark(shard: str) -> str:
    """A shard in eight letters, for lists of them in a Lease."""
    return blake2b(shard.encode(), digest_size=4).hexdigest()


class Claim(Struct, frozen=True):
    """`name` acts on what falls to it among `members` (on nothing where there are none), and on what it is
    `still_at`: marks of shards that fall to another one by now. `leaving`: nothing is to fall to it any more."""

    name: str
    members: frozenset[str] = frozenset()
    still_at: frozenset[str] = frozenset()
    leaving: bool = False

    def covers(self, shard: str) -> bool:
        """Whether it may be acting on the shard."""
        return (self.name in self.members and owner(shard, self.members) == self.name) or (
            bool(self.still_at) and mark(shard) in self.still_at
        )

    def annotations(self) -> dict[str, str]:
        """As the Lease carries it."""
        said = {AMONG: ",".join(sorted(self.members)), AT_WORK: ",".join(sorted(self.still_at))}
        return said | ({LEAVING: "true"} if self.leaving else {})


def claim_of(name: str, annotations: Mapping[str, str]) -> Claim:
    """The inverse of `annotations`."""
    members, still_at = (frozenset(annotations.get(key, "").split(",")) - {""} for key in (AMONG, AT_WORK))
    return Claim(name, members, still_at, annotations.get(LEAVING) == "true")
