"""Which replica owns what: rendezvous, claims, and any order in which replicas see each other, forced views
included."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.replicas.claim import Claim, claim_of, mark, owner
from kubechain.runtime.replicas.share import Led, Sharded, Share, alone
from tests.unit.runtime.world import run

SHARDS = [f"default/run-{n}" for n in range(300)]
A, B, C = "kubechain-replica-a", "kubechain-replica-b", "kubechain-replica-c"


def among(*members: str) -> dict[str, str]:
    return {shard: owner(shard, frozenset(members)) for shard in SHARDS}


def test_every_member_gets_about_its_part() -> None:
    parts = Counter(among(A, B, C).values())
    assert set(parts) == {A, B, C}
    assert all(70 <= part <= 130 for part in parts.values())


def test_one_that_joins_or_leaves_moves_its_own_shards_alone() -> None:
    two, three = among(A, B), among(A, B, C)
    moved = {shard for shard in SHARDS if two[shard] != three[shard]}
    assert moved == {shard for shard in SHARDS if three[shard] == C}


def test_the_order_in_which_members_are_known_does_not_matter() -> None:
    assert [owner(s, [C, A, B]) for s in SHARDS] == [owner(s, [A, B, C]) for s in SHARDS]


def test_nobody_is_nobody() -> None:
    assert owner("default/r", ()) == ""


@pytest.mark.parametrize(
    "claim",
    [
        Claim(A),
        Claim(A, frozenset({A, B})),
        Claim(A, frozenset({A}), frozenset({mark("default/r"), mark("default/s")})),
        Claim(A, leaving=True),
    ],
)
def test_a_claim_is_read_as_it_was_written(claim: Claim) -> None:
    assert claim_of(A, claim.annotations()) == claim


def test_a_lease_without_a_claim_claims_nothing() -> None:
    assert not any(claim_of(A, {}).covers(shard) for shard in SHARDS)


def test_a_claim_covers_what_falls_to_it_and_what_is_in_its_hands() -> None:
    lost = next(shard for shard in SHARDS if owner(shard, frozenset({A, B})) == B)
    assert not Claim(A, frozenset({A, B})).covers(lost)
    assert Claim(A, frozenset({A, B}), frozenset({mark(lost)})).covers(lost)
    assert Claim(A, frozenset({A})).covers(lost)


def test_the_only_replica_acts_on_everything_and_leads() -> None:
    share = alone()
    assert share.leading
    assert {share.ownership(shard) for shard in SHARDS} == {"ours"}


def test_one_that_has_not_joined_acts_on_nothing() -> None:
    assert {Share(A).ownership(shard) for shard in SHARDS} == {"theirs"}


class Group:
    """Replicas that read each other's newest claims, with whatever views they are given."""

    def __init__(self, *names: str) -> None:
        self.shares = {name: Share(name, f"{name}_1") for name in names}
        self.hands: dict[str, list[str]] = {name: [] for name in names}
        for share in self.shares.values():
            share.on_change(lambda everything: None)

    def see(self, name: str, *members: str) -> None:
        others = [other for other in self.shares.values() if other.name != name]
        alive = frozenset(other.holder for other in others)
        self.shares[name].see(frozenset({name, *members}), [other.said for other in others], alive)

    def tell(self, name: str) -> None:
        share = self.shares[name]
        share.tell(share.due())
        for other in self.shares:
            if other != name:
                self.see(other, *self.shares[other].view)

    def begin(self, name: str, shard: str) -> bool:
        if self.shares[name].ownership(shard) != "ours":
            return False
        self.shares[name].begun(shard)
        self.hands[name].append(shard)
        return True

    def end(self, name: str) -> None:
        if self.hands[name]:
            self.shares[name].ended(self.hands[name].pop(0))

    def settle(self) -> None:
        for name in self.shares:
            while self.hands[name]:
                self.end(name)
        for name in self.shares:
            self.see(name, *self.shares)
        for name in self.shares:
            self.tell(name)


def falls_to_b() -> str:
    return next(shard for shard in SHARDS if owner(shard, frozenset({A, B})) == B)


def test_what_a_newcomer_gains_is_held_until_its_former_owner_says_that_it_let_go() -> None:
    group, shard = Group(A, B), falls_to_b()
    group.see(A)
    group.tell(A)
    assert group.begin(A, shard)
    group.see(B, A)
    group.tell(B)
    assert group.shares[B].ownership(shard) == "held"
    group.see(A, B)
    assert group.shares[A].ownership(shard) == "theirs"
    group.tell(A)
    assert group.shares[B].ownership(shard) == "held", "A is still at work on it"
    group.end(A)
    group.tell(A)
    assert group.shares[B].ownership(shard) == "ours"


def test_what_is_gained_is_held_until_it_has_been_claimed() -> None:
    group, shard = Group(A, B), falls_to_b()
    group.see(B, A)
    assert group.shares[B].ownership(shard) == "held"
    group.tell(B)
    assert group.shares[B].ownership(shard) == "ours"


def test_what_a_dead_replica_held_is_free() -> None:
    group, shard = Group(A, B), falls_to_b()
    group.see(A)
    group.tell(A)
    group.see(B, A)
    group.tell(B)
    assert group.shares[B].ownership(shard) == "held"
    group.shares[B].see(frozenset({B}), [], frozenset())
    group.tell(B)
    assert group.shares[B].ownership(shard) == "ours"


def test_one_that_leaves_keeps_what_is_in_its_hands_and_nothing_else() -> None:
    group, shard = Group(A), "default/r"
    group.see(A)
    group.tell(A)
    assert group.begin(A, shard)
    due = group.shares[A].due(leaving=True)
    assert due == Claim(A, frozenset(), frozenset({mark(shard)}), leaving=True)


def test_the_end_of_work_that_changes_hands_is_told() -> None:
    group, shard, ends = Group(A, B), falls_to_b(), list[str]()
    group.shares[A].on_rest = lambda: ends.append("rest")
    group.see(A)
    group.tell(A)
    group.begin(A, "default/x")
    group.end(A)
    assert not ends, "nothing changes hands"
    group.begin(A, shard)
    group.see(A, B)
    group.tell(A)
    group.end(A)
    assert ends == ["rest"]


MOVES = st.one_of(
    st.tuples(st.just("see"), st.sampled_from([A, B, C]), st.sets(st.sampled_from([A, B, C]))),
    st.tuples(st.sampled_from(["tell", "end"]), st.sampled_from([A, B, C]), st.none()),
    st.tuples(st.just("begin"), st.sampled_from([A, B, C]), st.sampled_from(SHARDS[:6])),
)


@given(st.lists(MOVES, max_size=60))
def test_whatever_views_replicas_have_no_two_are_at_work_on_one_shard(
    moves: list[tuple[str, str, object]],
) -> None:
    group = Group(A, B, C)
    for move, name, what in moves:
        match move, what:
            case "see", set():
                group.see(name, *(str(member) for member in what))
            case "begin", str():
                group.begin(name, what)
            case "tell", _:
                group.tell(name)
            case _:
                group.end(name)
        at_work = Counter(shard for name in group.hands for shard in set(group.hands[name]))
        assert not [shard for shard, replicas in at_work.items() if replicas > 1]
    group.settle()
    sharing = {shard: [s.ownership(shard) for s in group.shares.values()] for shard in SHARDS[:20]}
    assert all(sorted(ownership) == ["ours", "theirs", "theirs"] for ownership in sharing.values())


@pytest.mark.parametrize(("ours", "holder"), list(product([True, False], ["", "b_1", "b_0"])))
def test_what_another_living_replica_marked_as_its_own_is_held(ours: bool, holder: str) -> None:
    share = Share(A, "a_1")
    share.see(frozenset({A if ours else B}), [], frozenset({"b_1"}))
    share.tell(share.due())
    sharing: Sharded[TaskRun] = Sharded(share, lambda r: r.metadata.name, lambda r: holder)
    assert sharing.of(run("r")) == (("held" if holder == "b_1" else "ours") if ours else "theirs")


def test_what_is_not_shared_out_is_the_leaders() -> None:
    share, told = Share(A), list[bool]()
    share.on_change(told.append)
    sharing: Led[TaskRun] = Led(share)
    assert sharing.of(run("r")) == "theirs"
    share.lead(True)
    assert sharing.of(run("r")) == "ours"
    assert told == [True]


def test_a_share_that_retires_begins_nothing_and_ends_what_is_in_hand() -> None:
    share, told = alone(), list[str]()
    share.on_rest = lambda: told.append("rest")
    runs = Sharded[TaskRun](
        share, lambda run: run.metadata.name, in_hand=lambda run: run.metadata.name == "at-work"
    )
    at_work, other = run("at-work"), run("other")
    runs.begun(at_work)
    assert (runs.of(at_work), runs.of(other)) == ("ours", "ours")
    share.retire()
    assert (runs.of(at_work), runs.of(other)) == ("ours", "theirs")
    assert Led[TaskRun](share).of(other) == "theirs"
    assert list(share.busy) == ["at-work"]
    runs.begun(at_work)
    runs.ended(at_work)
    assert told == []
    runs.ended(at_work)
    assert (told, list(share.busy)) == (["rest"], [])
