"""errors.ApiError -> the `Status` object that a Kubernetes client understands.

Called by `http` for every refused request and by `watch` for an ERROR event. Pure.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from kubechain.errors import ApiError, Details, Gone
from kubechain.resources.json import JsonObject

JSON = "application/json"
YAML = "application/yaml"


def status_of(error: ApiError) -> JsonObject:
    """The `Status` of a failure."""
    status: JsonObject = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
    }
    if error.reason:
        status["reason"] = error.reason
    if isinstance(error, Gone) and error.continue_token:
        status["metadata"] = {"continue": error.continue_token}
    if details := details_of(error.details):
        status["details"] = details
    status["code"] = error.code
    return status


def success(details: Details) -> JsonObject:
    """The `Status` that answers a delete which is done."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(details),
    }


def details_of(details: Details) -> JsonObject:
    """`Status.details`, without the members that say nothing."""
    out: JsonObject = {
        name: value
        for name, value in (
            ("name", details.name),
            ("group", details.group),
            ("kind", details.kind),
            ("uid", details.uid),
        )
        if value
    }
    if details.causes:
        out["causes"] = [
            {k: v for k, v in (("reason", c.reason), ("message", c.message), ("field", c.field)) if v}
            for c in details.causes
        ]
    if details.retry_after:
        out["retryAfterSeconds"] = details.retry_after
    return out


def refusal(error: ApiError, accept: str = "") -> Response:
    """The HTTP answer to a request that failed: YAML for those who ask for nothing else."""
    headers = {"retry-after": str(error.details.retry_after)} if error.details.retry_after else {}
    if accept == YAML:
        return Response(as_yaml(status_of(error)), error.code, headers, YAML)
    return Response(msgspec.json.encode(status_of(error)), error.code, headers, JSON)


def as_yaml(document: JsonObject) -> str:
    """A document for people with curl."""
    from kubechain.resources import yamltext  # nobody else pays for it

    return yamltext.dump(document)
