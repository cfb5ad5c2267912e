"""Every manifest that a real API server refused is refused here with the same code, reason, message and causes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from kubechain.errors import ApiError
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.server import strict
from kubechain.server.admission import admit, match_request
from tests.contract.bad_manifests.record import KINDS, Case, cases, text_of

CASES = cases(http=False)


def stored(kind: Kind[Any], manifest: JsonObject) -> JsonObject:
    """The manifest as it stands in the store."""
    obj, _ = strict.decode(json.dumps(manifest).encode(), kind)
    obj = admit(kind, match_request(obj, kind, "default"), None)
    meta = obj["metadata"]
    assert isinstance(meta, dict)
    return {**obj, "metadata": {**meta, "resourceVersion": "1", "uid": "u"}}


def sent(case: Case) -> JsonObject:
    """What a server keeps of the case's manifest; raises what it answers."""
    kind, body, old = KINDS[case["kind"]], case["body"], None
    if "old" in case:
        old = stored(kind, case["old"])
        body = {**body, "metadata": {"resourceVersion": "1", **body["metadata"]}}
    obj, report = strict.decode(text_of(body).encode(), kind)
    if report and case.get("query", {}).get("fieldValidation") == "Strict":
        raise strict.refusal(kind, report)
    obj = match_request(obj, kind, "default", "" if old is None else case["old"]["metadata"]["name"])
    return admit(kind, obj, old, status_only=case["verb"] == "update_status")


@pytest.mark.parametrize("case", CASES, ids=[f"{case['kind']}: {case['case']}" for case in CASES])
def test_a_bad_manifest_gets_the_answer_of_a_real_api_server(case: Case) -> None:
    expected = case["answer"]
    if expected["code"] == 200:
        assert sent(case)["kind"] == case["kind"]
        return
    with pytest.raises(ApiError) as refused:
        sent(case)
    error, details = refused.value, expected.get("details", {})
    assert (error.code, error.reason) == (expected["code"], expected["reason"])
    causes = [(c.get("reason", ""), c["message"], c.get("field", "")) for c in details.get("causes", [])]
    # A real server walks maps in random order: causes, and the parts of the message, come in any.
    assert Counter((c.reason, c.message, c.field) for c in error.details.causes) == Counter(causes)
    assert sorted(error.message) == sorted(expected["message"])
    assert error.message[:40] == expected["message"][:40] or len(causes) > 1
    named = (error.details.name, error.details.group, error.details.kind)
    assert named == tuple(details.get(field, "") for field in ("name", "group", "kind"))
