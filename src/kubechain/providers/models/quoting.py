"""Quotes messages of others: in one short line, without secrets of the endpoint.

refusals.py and breakage.py call it. Pure.
"""

from __future__ import annotations

import re

from kubechain.agents.ports.model import Endpoint

QUOTE = 300
"""Longest quotation of a provider, in characters."""


def quote(endpoint: Endpoint, text: str) -> str:
    """One line of at most QUOTE characters, without secrets of the endpoint."""
    for secret in (endpoint.api_key.strip(), *(value for _, value in endpoint.headers if len(value) >= 8)):
        if secret:
            text = text.replace(secret, "[redacted]")
        if len(secret) >= 20:
            text = re.sub(re.escape(secret[:12]) + r"\S*", "[redacted]", text)
    line = " ".join(text.split())
    return line if len(line) <= QUOTE else line[: QUOTE - 1] + "…"
