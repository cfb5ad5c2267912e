"""The cheap check of a key: asking a provider for its list of models.

The adapters of this folder call it with their URL and headers. It is free, and never asks a model for a reply.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
from kubechain.providers.models.connections import Connections, whole
from kubechain.providers.models.endpoints import TITLES, host, subject, title
from kubechain.providers.models.refusals import refused
from kubechain.resources.json import JsonValue

SHOWN = 3
"""Models that DETAIL names."""


async def check_listing(
    connections: Connections, endpoint: Endpoint, url: str, headers: dict[str, str], now: datetime
) -> str:
    """The sentence for DETAIL. An endpoint without such a list cannot be checked and counts as ready."""
    async with connections.request(endpoint, url, headers) as response:
        body = await whole(endpoint, response)
        if response.status in (404, 405):
            return f"The server at {host(url)} does not list models, so the API key was not checked"
        if response.status != 200:
            raise refused(endpoint, response.status, response.headers, body, now)
    try:
        listed: JsonValue = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Terminal(
            f"{subject(endpoint)}: {host(url)} answers, but not as a model API; correct spec.parameters.baseURL, "
            "which usually ends in /v1",
            reason="InvalidRequest",
        ) from error
    return _accepted(endpoint, url) + _unlisted(endpoint.llm.model_name, _names(listed))


def _accepted(endpoint: Endpoint, url: str) -> str:
    if not endpoint.api_key.strip():
        return f"The server at {host(url)} answers; no API key is set"
    if endpoint.llm.spec.parameters.base_url is not None:
        return f"{title(endpoint)} API key validated successfully"
    return f"{TITLES[endpoint.llm.spec.provider]} API key validated successfully"


def _names(listed: JsonValue) -> list[str]:
    """The models of one whole list; none where there may be more than it says."""
    if not isinstance(listed, dict) or listed.get("has_more"):
        return []
    models = listed.get("data", [])
    found = [model.get("id") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    return [name for name in found if isinstance(name, str)]


def _unlisted(model: str, names: list[str]) -> str:
    if not names or model in names or f"{model}:latest" in names:
        return ""
    shown = ", ".join(sorted(names)[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"; it does not list model {model}, but {shown}{more}: check spec.parameters.model"
