"""The kind of tool `http`: one request to a server, made from the arguments of the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from kubechain.resources.effect import Effect
from kubechain.resources.model import doc
from kubechain.resources.reference import EnvVar, Header
from kubechain.resources.toolkind import ToolKind
from kubechain.resources.web import ALLOW_PRIVATE, AUTH, HEADERS, HTTP_URL, Auth, values

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Encoding = Literal["JSON", "Form"]
EFFECTS: Mapping[str, Effect] = {
    "GET": "ReadOnly",
    "HEAD": "ReadOnly",
    "OPTIONS": "ReadOnly",
    "TRACE": "ReadOnly",
    "PUT": "Idempotent",
    "DELETE": "Idempotent",
}
"""What a repeated request does, by method; NonIdempotent for the others."""
WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})
"""Methods whose arguments go into the query where the manifest does not say."""
_Argument = Annotated[str, doc("Name of an argument.", min_length=1, max_length=128)]


class HTTPTool(ToolKind, kw_only=True, gc=False):
    """One HTTP request. The answer is the result."""

    method: Annotated[Method, doc("GET, HEAD, POST, PUT, PATCH or DELETE. It decides the default effect.")]
    url: Annotated[
        str,
        doc(
            "The address. {name} in its path or query is replaced by that argument, percent-encoded.",
            pattern=HTTP_URL,
            max_length=2048,
        ),
    ]
    query: Annotated[list[_Argument], doc("Arguments that go into the query.", max_length=100)] = []
    body: Annotated[
        list[_Argument],
        doc(
            "Arguments that go into the body. Those that neither url, query nor body names go into the query for "
            "GET, HEAD and DELETE, otherwise into the body.",
            max_length=100,
        ),
    ] = []
    encoding: (
        Annotated[Encoding, doc("How the body is written: JSON (default), or Form as an HTML form does.")] | None
    ) = None
    headers: Annotated[list[Header], HEADERS] = []
    auth: Annotated[Auth, AUTH] | None = None
    select: (
        Annotated[
            str,
            doc("JSONPath of the part of a JSON answer that is the result, as in .items[*].name.", max_length=512),
        ]
        | None
    ) = None
    allow_private: Annotated[bool, ALLOW_PRIVATE] = False

    @property
    def variables(self) -> list[EnvVar]:
        """Headers and credentials."""
        return values(self.headers, self.auth)

    @property
    def default_effect(self) -> Effect:
        """As HTTP says of the method."""
        return EFFECTS.get(self.method, "NonIdempotent")
