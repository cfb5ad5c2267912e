"""What of an object belongs to the server."""

from __future__ import annotations

import pytest

from kubechain.errors import Conflict
from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import CONFIG_MAPS
from kubechain.resources.json import JsonObject
from kubechain.server import identity


def agent(**metadata: str) -> JsonObject:
    return {"apiVersion": AGENTS.api_version, "kind": "Agent", "metadata": dict(metadata)}


def test_a_new_object_brings_neither_identity_nor_status() -> None:
    sent: JsonObject = {**agent(name="a", uid="mine", creationTimestamp="t"), "status": {"ready": True}}
    assert identity.fresh(AGENTS.raw, sent) == agent(name="a")


def test_an_update_keeps_status_and_a_status_update_keeps_everything_else() -> None:
    old: JsonObject = {
        **agent(name="a", uid="u", creationTimestamp="t", resourceVersion="4"),
        "spec": {"system": "old"},
        "status": {"ready": True},
    }
    new: JsonObject = {
        **agent(name="a", label="x", resourceVersion="4"),
        "spec": {"system": "new"},
        "status": {"ready": False},
    }
    whole = identity.successor(AGENTS.raw, old, new, status_only=False)
    assert (whole["spec"], whole["status"]) == ({"system": "new"}, {"ready": True})
    assert identity.metadata_of(whole)["uid"] == "u"
    assert identity.metadata_of(whole)["resourceVersion"] == "4"
    status = identity.successor(AGENTS.raw, old, new, status_only=True)
    assert (status["spec"], status["status"]) == ({"system": "old"}, {"ready": False})
    assert "label" not in identity.metadata_of(status)


def test_an_update_of_another_object_of_the_same_name_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="UID in precondition: other, UID in object meta: u"):
        identity.successor(AGENTS.raw, agent(name="a", uid="u"), agent(name="a", uid="other"), status_only=False)


def test_only_built_in_kinds_may_leave_out_which_version_they_replace() -> None:
    held, sent = agent(name="a", resourceVersion="4"), agent(name="a")
    ours = identity.successor(AGENTS.raw, held, sent, status_only=False)
    assert identity.metadata_of(ours)["resourceVersion"] == ""
    theirs = identity.successor(CONFIG_MAPS.raw, held, sent, status_only=False)
    assert identity.metadata_of(theirs)["resourceVersion"] == "4"
