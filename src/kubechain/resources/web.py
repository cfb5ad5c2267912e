"""How a tool or a server is called over HTTP: headers, credentials, and which addresses are allowed.

Tools of the kinds http and openapi use it, and MCPServers that are reached over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from kubechain.resources.json import JsonValue
from kubechain.resources.model import Model, Rule, doc
from kubechain.resources.reference import EnvVar, Header, SecretSource

BEARER, USERNAME, PASSWORD = "auth.bearer", "auth.username", "auth.password"
CLIENT_ID, CLIENT_SECRET = "auth.clientID", "auth.clientSecret"
"""Names under which `values` lists the credentials."""
ALLOW_PRIVATE = doc(
    "Whether it may be at a private, loopback or link-local address. Default false: such an address is refused."
)
HEADERS = doc("HTTP headers of every request; values may come from Secrets.", max_length=50)
AUTH = doc("The credentials that it is called with, from Secrets.")
HTTP_URL = r"^https?://[^\s/?#@{}]+([/?#][^\s]*)?$"
"""An address without user and password; only its path and query may have placeholders."""


class BasicAuth(Model, kw_only=True, gc=False):
    """User name and password."""

    username_from: Annotated[SecretSource, doc("The user name.")]
    password_from: Annotated[SecretSource, doc("The password.")]


class OAuth2ClientCredentials(Model, kw_only=True, gc=False):
    """A token that KubeChain gets with the client's own credentials, keeps, and renews before it ends."""

    token_url: Annotated[str, doc("Where tokens are issued.", pattern=HTTP_URL)]
    client_id_from: Annotated[SecretSource, doc("The client's id.")]
    client_secret_from: Annotated[SecretSource, doc("The client's secret.")]
    scopes: Annotated[list[str], doc("The scopes to ask for.", max_length=50)] = []


def _at_most_one(node: JsonValue, _: object) -> bool:
    return isinstance(node, dict) and len(node.keys() & {"bearer", "basic", "oauth2ClientCredentials"}) == 1


class Auth(Model, kw_only=True, gc=False):
    """How a request proves who sends it: one of bearer, basic and oauth2ClientCredentials."""

    rules = (
        Rule(
            "[has(self.bearer), has(self.basic), has(self.oauth2ClientCredentials)].exists_one(x, x)",
            "set one of bearer, basic and oauth2ClientCredentials",
            _at_most_one,
        ),
    )

    bearer: Annotated[SecretSource, doc("A token, sent as Authorization: Bearer TOKEN.")] | None = None
    basic: Annotated[BasicAuth, doc("User name and password.")] | None = None
    oauth2_client_credentials: (
        Annotated[OAuth2ClientCredentials, doc("A token by OAuth 2.0 client credentials.")] | None
    ) = None


def values(headers: Iterable[Header], auth: Auth | None) -> list[EnvVar]:
    """Everything that has to be looked up before a call, under a name each: headers as `headers[0]`, ..."""
    found = [
        EnvVar(name=f"headers[{at}]", value=header.value, value_from=header.value_from)
        for at, header in enumerate(headers)
    ]
    return found if auth is None else [*found, *_credentials(auth)]


def _credentials(auth: Auth) -> list[EnvVar]:
    sources: dict[str, SecretSource] = {}
    if auth.bearer is not None:
        sources[BEARER] = auth.bearer
    if auth.basic is not None:
        sources |= {USERNAME: auth.basic.username_from, PASSWORD: auth.basic.password_from}
    if (oauth := auth.oauth2_client_credentials) is not None:
        sources |= {CLIENT_ID: oauth.client_id_from, CLIENT_SECRET: oauth.client_secret_from}
    return [EnvVar(name=name, value_from=source) for name, source in sources.items()]
