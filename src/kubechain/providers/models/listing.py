"""The cheap check of a key: asking a provider for its list of models.

The adapters of this folder call it with their URL and headers. It costs nothing and never asks a model.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
from kubechain.providers.models.connections import Connections, whole
from kubechain.providers.models.endpoints import host, subject, title
from kubechain.providers.models.refusals import refused


async def check_listing(
    connections: Connections, endpoint: Endpoint, url: str, headers: dict[str, str], now: datetime
) -> str:
    """The sentence for DETAIL. An endpoint that has no such list cannot be checked and counts as ready."""
    async with connections.request(endpoint, url, headers) as response:
        body = await whole(endpoint, response)
        if response.status in (404, 405):
            return (
                f"{title(endpoint)} endpoint at {host(url)} does not list models, so the API key was not checked"
            )
        if response.status != 200:
            raise refused(endpoint, response.status, response.headers, body, now)
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Terminal(
            f"{subject(endpoint)}: {host(url)} answers, but not as a model API; correct spec.parameters.baseURL, "
            "which mostly ends in /v1",
            reason="InvalidRequest",
        ) from error
    if not endpoint.api_key.strip():
        return f"{title(endpoint)} endpoint at {host(url)} answers; no API key is set"
    return f"{title(endpoint)} API key validated successfully"
