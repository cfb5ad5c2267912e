"""Answers of an API server as our types."""

from __future__ import annotations

import msgspec
import pytest

from kubechain import errors
from kubechain.cluster.answers import change, page, refusal, with_type
from kubechain.errors import Cause, Gone
from kubechain.resources.builtin import SECRETS
from kubechain.resources.task import TASKS
from kubechain.runtime.api import Bookmark, Change, Key


def failure(code: int, reason: str, message: str = "no", **more: object) -> bytes:
    return msgspec.json.encode({"kind": "Status", "code": code, "reason": reason, "message": message, **more})


@pytest.mark.parametrize(
    ("code", "reason", "type_"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (409, "", errors.Conflict),
        (410, "Expired", Gone),
        (410, "Gone", Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.InternalError),
        (503, "ServiceUnavailable", errors.InternalError),
        (504, "Timeout", errors.Timeout),
        (504, "ServerTimeout", errors.Timeout),
    ],
)
def test_a_status_is_the_error_of_its_reason(code: int, reason: str, type_: type[errors.ApiError]) -> None:
    error = refusal(code, failure(code, reason))
    assert type(error) is type_
    assert error.message == "no"


def test_details_causes_and_the_time_to_wait_are_kept() -> None:
    told = {"name": "t", "kind": "Task", "causes": [{"reason": "R", "message": "m", "field": "spec.x"}]}
    error = refusal(429, failure(429, "TooManyRequests", details={**told, "retryAfterSeconds": 3}))
    assert (error.details.name, error.details.kind, error.details.retry_after) == ("t", "Task", 3)
    assert error.details.causes == (Cause("R", "m", "spec.x"),)
    assert refusal(429, b"slow down", "7").details.retry_after == 7


def test_an_expired_list_offers_its_rest() -> None:
    error = refusal(410, failure(410, "Expired", metadata={"continue": "token"}))
    assert isinstance(error, Gone)
    assert error.continue_token == "token"


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097195 vs. 2097152)",
    ],
)
def test_an_object_that_etcd_does_not_take_is_too_large(message: str) -> None:
    assert type(refusal(500, failure(500, "", message))) is errors.TooLarge


def test_what_a_proxy_says_is_an_error_too() -> None:
    error = refusal(502, b"<html>Bad Gateway</html>")
    assert type(error) is errors.InternalError
    assert "Bad Gateway" in error.message
    assert type(refusal(404, b"404 page not found")) is errors.NotFound


def test_an_object_in_a_list_says_its_kind_though_lists_of_built_in_kinds_leave_it_out() -> None:
    found = page(SECRETS.raw, b'{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"s"}}]}')
    assert msgspec.json.decode(found.items[0]) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
    }
    assert page(SECRETS, b'{"metadata":{"resourceVersion":"7"},"items":null}').items == []


@pytest.mark.parametrize("document", [b"{}", b' { "kind": "Secret" }', b'\n{"apiVersion":"v1"}'])
def test_only_what_is_missing_is_put_in(document: bytes) -> None:
    assert msgspec.json.decode(with_type(SECRETS.raw, document)) == {"apiVersion": "v1", "kind": "Secret"}


def test_lines_of_a_watch_are_changes_and_bookmarks() -> None:
    meta = '"metadata":{"namespace":"n","name":"t","resourceVersion":"5"}'
    line = f'{{"type":"ADDED","object":{{{meta},"spec":{{"agent":"a","userMessage":"x"}}}}}}'.encode()
    seen = change(TASKS, line)
    assert isinstance(seen, Change)
    assert (seen.type, seen.key, seen.resource_version) == ("ADDED", Key("n", "t"), "5")
    assert seen.object.spec.agent == "a"
    ended = b'"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}'
    assert change(TASKS, b'{"type":"BOOKMARK","object":{%s}}' % ended) == Bookmark("9", initial_end=True)


def test_an_error_in_a_watch_is_raised() -> None:
    with pytest.raises(Gone, match="too old resource version"):
        change(TASKS, b'{"type":"ERROR","object":%s}' % failure(410, "Expired", "too old resource version: 1 (2)"))
