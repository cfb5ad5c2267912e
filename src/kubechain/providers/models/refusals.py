"""Turns an answer that is not a reply into an error that says what to do.

The adapters of this folder call it. Pure. Decides for all APIs which errors are tried again:
429, 408, 409, 425, 5xx, timeouts, broken connections and unreadable bodies are Transient, any other refusal
is Terminal. An exhausted quota is Transient too, with a long delay: a person has to pay, but then the run
continues, and a refused request costs nothing. The key never appears: it is removed from what a provider quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from kubechain.agents.ports.model import Endpoint, ToolOffer
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.endpoints import host, key_source, root, subject, title
from kubechain.providers.models.quoting import quote
from kubechain.resources.json import JsonValue

QUOTA_DELAY = 300.0
"""Seconds before an exhausted quota is tried again, where the provider names no time."""
LONGEST_DELAY = 86400.0
_TRY_AGAIN = frozenset({408, 409, 425, 429})
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|insufficient (funds|balance|credits)"
    r"|billing_(error|hard_limit|not_active)|enable billing"
)
_CONTEXT = re.compile(
    r"context[ _](length|window|size)|prompt is too long|input is too long|too many (input )?tokens"
)
_NO_MODEL = re.compile(
    r"model_not_found|invalid model name|not_found_error.*model|invalid_model|unknown model"
    r"|model\b.*(not found|not exist|unknown)"
)
_KEY = re.compile(
    r"invalid_api_key|api[ _-]key (is )?(not valid|invalid|incorrect)|(invalid|incorrect) api[ _-]key"
)
_TOOL_NAME = re.compile(r"schema for function '([^']+)'|\b(?:tool|function) [`'\"]([\w.-]+)[`'\"]", re.IGNORECASE)
_TOOL_PLACE = re.compile(r"\btools(?:\.|\[)(\d+)", re.IGNORECASE)
_TOO_MANY_TOOLS = re.compile(r"'tools'|\btools\b.*(too (long|many)|at most|maximum)|too many tools", re.IGNORECASE)
_STATUS_OF_TYPE = {
    "authentication_error": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
}


class Complaint(msgspec.Struct, frozen=True):
    """What an error body says, whichever of the known shapes it has."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str = ""

    @property
    def text(self) -> str:
        return f"{self.code} {self.type} {self.message}".lower()

    @property
    def status(self) -> int:
        """The HTTP status that this error has when it does not come inside a 200."""
        if self.code.isdecimal() and 400 <= int(self.code) < 600:
            return int(self.code)
        return _STATUS_OF_TYPE.get(self.code) or _STATUS_OF_TYPE.get(self.type) or 500


def complaint(body: bytes) -> Complaint:
    """Reads `{"error": {...}}`, `{"error": "text"}`, `{"message": ...}`, `{"detail": ...}`, a list, plain text."""
    try:
        value: JsonValue = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Complaint(_plain(body.decode("utf-8", "replace")))
    return _complaint(value)


def _complaint(value: JsonValue) -> Complaint:
    if isinstance(value, list) and value:
        return _complaint(value[0])
    if not isinstance(value, dict):
        return Complaint(_text(value))
    choices = value.get("choices")
    if "error" not in value and isinstance(choices, list) and choices:
        return _complaint(choices[0])
    error = value.get("error", value)
    if not isinstance(error, dict):
        return Complaint(_text(error))
    message = error.get("message", error.get("detail", ""))
    return Complaint(*(_text(one) for one in (message, error.get("type"), error.get("code"), error.get("param"))))


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plain(text: str) -> str:
    """The words of an HTML error page."""
    return re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)


def refused(
    endpoint: Endpoint,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tools: Sequence[ToolOffer] = (),
) -> ProviderError:
    """The error for an HTTP answer that is not a success; `headers` are looked up in lower case."""
    return judged(endpoint, status, complaint(body), retry_after(headers, now), tools)


def judged(
    endpoint: Endpoint, status: int, said: Complaint, delay: float | None, tools: Sequence[ToolOffer] = ()
) -> ProviderError:
    """The error for a refusal already read; `delay` in seconds where the provider named one."""
    who = f"{subject(endpoint)}: {title(endpoint)}"
    words = quote(endpoint, said.message)
    because = f'{status}: "{words}"' if words else f"{status}"
    if status == 402 or (status <= 429 and _QUOTA.search(said.text)):
        return Transient(
            f"{who} says that the account's quota is used up ({because}); add credit, and the run continues",
            retry_after=QUOTA_DELAY if delay is None else delay,
            reason="QuotaExceeded",
        )
    if status == 429:
        return Transient(
            f"{who} limits the rate ({because}); KubeChain tries again", retry_after=delay, reason="RateLimited"
        )
    if status in _TRY_AGAIN or status >= 500:
        return Transient(
            f"{who} could not answer ({because}); KubeChain tries again", retry_after=delay, reason="Unavailable"
        )
    if status in (400, 422) and (about := _about_tools(said, tools)):
        return Terminal(f"{who} refused {about[0]} ({because}); {about[1]}", reason="ToolRefused")
    return _terminal(endpoint, who, status, said, because)


def _about_tools(said: Complaint, tools: Sequence[ToolOffer]) -> tuple[str, str] | None:
    """Which tools were refused, and what to do; None if the refusal is about something else."""
    where = f"{said.param} {said.message}"
    named = _TOOL_NAME.search(where)
    placed = _TOOL_PLACE.search(where)
    name = next((found for found in named.groups() if found), "") if named else ""
    if not name and placed and int(placed[1]) < len(tools):
        name = tools[int(placed[1])].name
    if any(tool.name == name for tool in tools):
        return f"tool {name}", "correct its schema at the Tool or the MCP server it comes from, or do not offer it"
    if tools and _TOO_MANY_TOOLS.search(where):
        some = f"the {len(tools)} tools of the Agent, from {tools[0].name} to {tools[-1].name}"
        return some, "offer fewer of them"
    return None


def _terminal(endpoint: Endpoint, who: str, status: int, said: Complaint, because: str) -> Terminal:
    model = endpoint.llm.model_name
    if status in (401, 403) or _KEY.search(said.text):
        return Terminal(
            f"{who} refused the API key ({because}); put a valid key into {key_source(endpoint)}",
            reason="Unauthorized",
        )
    if status == 413 or _CONTEXT.search(said.text):
        return Terminal(
            f"{who} finds the conversation too long for model {model} ({because}); "
            "shorten it or choose a model with a larger context",
            reason="ContextLengthExceeded",
        )
    if _NO_MODEL.search(said.text):
        return Terminal(
            f"{who} does not know model {model} ({because}); correct spec.parameters.model", reason="ModelNotFound"
        )
    if status in (404, 405):
        return Terminal(
            f"{who} has no chat endpoint at {host(root(endpoint))} ({because}); correct spec.parameters.baseURL, "
            "which usually ends in /v1, or spec.parameters.model",
            reason="ModelNotFound",
        )
    if status < 400:
        return Terminal(
            f"{who} at {host(root(endpoint))} redirects ({status}), but KubeChain sends the key nowhere else; "
            "set spec.parameters.baseURL to the final address",
            reason="InvalidRequest",
        )
    return Terminal(
        f"{who} refused the request ({because}); correct spec.parameters or the conversation",
        reason="InvalidRequest",
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) asks for, at most a day."""
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return min(wait / 1000, LONGEST_DELAY)
    text = headers.get("retry-after")
    if (wait := _number(text)) is not None:
        return min(wait, LONGEST_DELAY)
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(wait, 0.0), LONGEST_DELAY)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
