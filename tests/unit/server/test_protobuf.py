"""Protobuf bodies, as kubectl 1.36 sent them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubechain.errors import BadRequest
from kubechain.resources.json import JsonObject, lookup
from kubechain.server.protobuf import MAGIC, decode

BODIES: dict[str, str] = json.loads((Path(__file__).parent / "protobuf_bodies.json").read_text())


def sent(command: str) -> JsonObject:
    return decode(bytes.fromhex(BODIES[command]))


@pytest.mark.parametrize("command", BODIES)
def test_every_body_that_kubectl_sends_is_understood(command: str) -> None:
    obj = sent(command)
    assert obj["apiVersion"] and obj["kind"]
    assert "generation" not in cast("JsonObject", obj.get("metadata", {}))


def test_a_secret_keeps_its_bytes_as_base64() -> None:
    assert sent("create secret generic s --from-literal=user=ann --from-literal=empty=") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"empty": "", "user": "YW5u"},
    }


def test_a_role_keeps_the_empty_group() -> None:
    assert sent("create role r --verb=get,list --resource=secrets --resource-name=x")["rules"] == [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"]}
    ]


def test_a_token_request_and_a_review_keep_their_spec() -> None:
    request = sent("create token default --duration=1h --audience=x")
    assert request["spec"] == {"audiences": ["x"], "expirationSeconds": 3600}
    review = sent("auth can-i get secrets/x -n default")
    assert lookup(review, "spec.resourceAttributes") == {
        "namespace": "default",
        "verb": "get",
        "resource": "secrets",
        "name": "x",
    }


def test_times_and_negative_numbers_are_read() -> None:
    event = b"\x12\x04\x08\x80\xa3\x05" + b"\x78" + b"\xff" * 9 + b"\x01"
    envelope = b"\x0a\x18\x0a\x10events.k8s.io/v1" + b"\x12\x04Evnt"
    body = MAGIC + envelope.replace(b"\x0a\x18", b"\x0a\x19").replace(b"\x12\x04Evnt", b"\x12\x05Event")
    obj = decode(body + b"\x12" + bytes([len(event)]) + event)
    assert (obj["eventTime"], obj["deprecatedCount"]) == ("1970-01-02T00:00:00.000000Z", -1)


def test_other_kinds_and_other_formats_are_refused() -> None:
    with pytest.raises(BadRequest, match='no kind "Pod" is registered'):
        decode(MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00")
    with pytest.raises(BadRequest, match="does not appear to be a protobuf message"):
        decode(b"{}")


@given(st.sampled_from(sorted(BODIES)), st.integers(min_value=4), st.integers(0, 255))
def test_a_damaged_body_is_refused_or_read_but_never_breaks_the_server(command: str, at: int, byte: int) -> None:
    body = bytearray(bytes.fromhex(BODIES[command]))
    body[4 + at % (len(body) - 4)] = byte
    with contextlib.suppress(BadRequest):
        decode(bytes(body))
