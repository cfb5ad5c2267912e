"""What a tool's model is told of an answer: its text, or why it is a failure. `calling` calls it. Pure."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

import msgspec

from kubechain.agents.call.outcome import Artifact, Done
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal
from kubechain.providers.tools.result import as_text
from kubechain.providers.web.web import Answer
from kubechain.resources.effect import Trouble
from kubechain.resources.json import JsonValue
from kubechain.resources.jsonpath import NotJsonPath, Step, compile_path

QUOTED = 4_000
"""Characters of the body of an error that the model is told."""
_TEXTUAL = frozenset(
    {"application/xml", "application/yaml", "application/x-yaml", "application/javascript", "application/graphql"}
    | {"application/x-www-form-urlencoded", "application/x-ndjson", "application/jsonl", "application/sql"}
)
_SHOWN_OF_HEAD = ("content-type", "content-length", "last-modified", "etag")
_HINTS = {
    401: "the credentials of this tool were refused",
    403: "the credentials of this tool do not allow this",
}


@lru_cache(maxsize=1024)
def selector(path: str) -> Step:
    """The reader of a JSONPath. Raises Terminal (InvalidSelect)."""
    try:
        return compile_path(path.strip().removeprefix("{").removesuffix("}").removeprefix("$"))
    except NotJsonPath as error:
        raise Terminal(f"select: {error}; correct it", reason="InvalidSelect") from error


def result_of(answer: Answer, body: bytes, select: str | None) -> Done:
    """The result of a call that succeeded. Raises ToolError where `select` finds nothing."""
    if select is not None:
        return Done(_selected(answer, body, select))
    if not body:
        return Done(_empty(answer))
    text = text_in(answer, body)
    if text is not None:
        return Done(text)
    media = answer.content_type or "application/octet-stream"
    return Done("", (Artifact(body, media, answer.url.name),))


def text_in(answer: Answer, body: bytes) -> str | None:
    """The body as text; None where it is none."""
    media = answer.content_type
    textual = media.startswith("text/") or is_json(media) or media.endswith(("+xml", "+yaml")) or media in _TEXTUAL
    charset = _charset(answer)
    if textual:
        return body.decode(charset, "replace")
    if media:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def is_json(media: str) -> bool:
    """Whether a media type is JSON."""
    return media == "application/json" or media.endswith("+json")


def _charset(answer: Answer) -> str:
    named = answer.headers.get("content-type", "").lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        return named if named and "".encode(named) == b"" else "utf-8"
    except LookupError:
        return "utf-8"


def _empty(answer: Answer) -> str:
    lines = [f"{name}: {answer.headers[name]}" for name in _SHOWN_OF_HEAD if name in answer.headers]
    return "\n".join([f"{_status(answer.status)}, without content", *lines])


def _selected(answer: Answer, body: bytes, select: str) -> str:
    try:
        whole: JsonValue = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ToolError(f"the answer is not JSON, so that {select} finds nothing in it") from error
    found = selector(select)(whole)
    if not found:
        raise ToolError(f"the answer has nothing at {select}{_has(whole)}")
    many = "*" in select or "?" in select
    return as_text(found if many else found[0])


def _has(whole: JsonValue) -> str:
    return f"; it has {', '.join(list(whole)[:20])}" if isinstance(whole, dict) else ""


def failure_of(subject: str, answer: Answer, body: bytes, *, repeatable: bool) -> ToolError:
    """What an answer that is not a success means. `subject`: method and address, without query."""
    status = answer.status
    said = f"{subject} answered {_status(status)}"
    if hint := _HINTS.get(status):
        said += f" ({hint})"
    if status in (502, 503, 504) and not repeatable:
        said += "; it is not known whether it was done"
    text = text_in(answer, body) or ""
    quoted = text.strip()[:QUOTED]
    if len(text.strip()) > QUOTED:
        quoted += " [cut]"
    error = f"{said}: {quoted}" if quoted else said
    return ToolError(error, trouble=_trouble(status, repeatable=repeatable), retry_after=retry_after(answer))


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _trouble(status: int, *, repeatable: bool) -> Trouble | None:
    """Why the same request may succeed later, if it may be sent again."""
    if status == 429:
        return "RateLimited"
    if not repeatable:
        return None
    if status == 408:
        return "Timeout"
    return "ServerError" if status >= 500 else None


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asked to wait, if it did."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, IndexError):
        return None
    return max(0.0, moment - time.time())
