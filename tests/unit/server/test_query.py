"""Query parameters as options, and the refusals of a real API server."""

from __future__ import annotations

import pytest

from kubechain.errors import ApiError, BadRequest, Invalid
from kubechain.server.paths import RequestInfo, resolve
from kubechain.server.query import delete_options, list_options, watch_options, watch_seconds, write_options


def target(path: str = "/apis/kubechain.humanlayer.dev/v1alpha1/namespaces/default/agents") -> RequestInfo:
    found = resolve(path)
    assert found is not None
    return found


def test_a_list_takes_selectors_page_and_version() -> None:
    options = list_options(
        {"labelSelector": "a=b", "fieldSelector": "metadata.name=x", "limit": "5", "resourceVersion": "0"},
        target(),
    )
    assert str(options.labels) == "a=b"
    assert options.fields.equal_to("metadata.name") == "x"
    assert (options.limit, options.resource_version) == (5, "0")


@pytest.mark.parametrize(
    ("query", "error", "text"),
    [
        ({"resourceVersion": "abc"}, BadRequest, "resourceVersion: Invalid value"),
        ({"limit": "x"}, BadRequest, "strconv.ParseInt"),
        ({"fieldSelector": "spec.nope=1"}, BadRequest, "field label not supported: spec.nope"),
        ({"labelSelector": "a in"}, BadRequest, "unable to parse requirement"),
        ({"continue": "t", "resourceVersion": "7"}, BadRequest, "specifying resource version is not allowed"),
        ({"resourceVersionMatch": "Exact"}, Invalid, "forbidden unless resourceVersion is provided"),
        ({"resourceVersionMatch": "New", "resourceVersion": "1"}, Invalid, "Unsupported value"),
        ({"sendInitialEvents": "true"}, Invalid, "sendInitialEvents is forbidden for list"),
    ],
)
def test_a_bad_list_is_refused(query: dict[str, str], error: type[ApiError], text: str) -> None:
    with pytest.raises(error, match=text):
        list_options(query, target())


def test_a_watch_list_asks_for_initial_events_and_bookmarks() -> None:
    options = watch_options(
        {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"},
        target(),
    )
    assert options.initial_events
    assert options.bookmarks


def test_initial_events_without_a_match_are_refused() -> None:
    with pytest.raises(Invalid, match="requires setting resourceVersionMatch to NotOlderThan"):
        watch_options({"sendInitialEvents": "true"}, target())


def test_the_old_watch_of_one_object_selects_its_name() -> None:
    watched = target("/apis/kubechain.humanlayer.dev/v1alpha1/watch/namespaces/default/agents/a1")
    assert watch_options({}, watched).fields.equal_to("metadata.name") == "a1"


def test_events_are_selected_under_old_and_new_names() -> None:
    events = target("/apis/events.k8s.io/v1/namespaces/default/events")
    options = list_options({"fieldSelector": "regarding.name=x"}, events)
    assert options.fields.equal_to("involvedObject.name") == "x"


def test_a_watch_without_a_timeout_lasts_between_half_an_hour_and_one() -> None:
    assert watch_seconds({"timeoutSeconds": "7"}) == 7.0
    assert 1800 <= watch_seconds({}) <= 3600


def test_the_default_manager_is_the_first_word_of_the_user_agent() -> None:
    options = write_options({"dryRun": "All", "fieldValidation": "Strict"}, "kubectl/v1.32.0 (linux/amd64)")
    assert (options.manager, options.dry_run, options.validation) == ("kubectl", True, "Strict")


@pytest.mark.parametrize("query", [{"dryRun": "Some"}, {"fieldValidation": "Loose"}, {"fieldManager": "m" * 129}])
def test_bad_write_options_are_refused_as_invalid(query: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r'CreateOptions.meta.k8s.io "" is invalid: '):
        write_options(query, "kubectl")


def test_delete_options_come_from_the_body_or_else_the_query() -> None:
    body = {"propagationPolicy": "Foreground", "preconditions": {"uid": "u"}, "dryRun": ["All"]}
    options = delete_options({"propagationPolicy": "Orphan"}, body)
    assert (options.propagation, options.uid, options.dry_run) == ("Foreground", "u", True)
    assert delete_options({"orphanDependents": "true"}, {}).propagation == "Orphan"
    with pytest.raises(Invalid, match="propagationPolicy: Unsupported value"):
        delete_options({"propagationPolicy": "Sideways"}, {})
