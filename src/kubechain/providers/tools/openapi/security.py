"""Security schemes of a document, and the credentials that a manifest gives for them. Pure.

`catalog` judges them once; `runner` asks for the credentials of a call. No error has a value in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from kubechain.agents.ports.tool import Environment
from kubechain.errors import Terminal
from kubechain.providers.tools.openapi.document import Document, invalid
from kubechain.providers.tools.openapi.operations import Operation
from kubechain.providers.web.credentials import Client, basic, check_header
from kubechain.resources.json import JsonObject
from kubechain.resources.tool_openapi import (
    CLIENT_ID,
    CLIENT_SECRET,
    PASSWORD,
    SECRET,
    USERNAME,
    OpenAPITool,
    SchemeAuth,
    variable,
)

Auth = Mapping[str, SchemeAuth]


class Scheme(Struct, frozen=True):
    """`where` an API key goes, and under which `name`; "" where the Authorization header takes it."""

    type: str
    where: str = ""
    name: str = ""
    token_url: str = ""


class Credentials(Struct, frozen=True):
    """What a request carries besides its arguments. `client`: whose token it needs, if any."""

    headers: Mapping[str, str] = {}
    query: Sequence[tuple[str, str]] = ()
    cookies: Sequence[tuple[str, str]] = ()
    client: Client | None = None


def schemes_of(document: Document) -> dict[str, Scheme]:
    """The security schemes by name."""
    components = document.whole.get("components")
    named = components.get("securitySchemes") if isinstance(components, dict) else None
    return (
        {name: _scheme(document.resolved(node)) for name, node in named.items()} if isinstance(named, dict) else {}
    )


def _scheme(node: JsonObject) -> Scheme:
    match node.get("type"):
        case "apiKey":
            return Scheme("apiKey", str(node.get("in")), str(node.get("name")))
        case "http":
            return Scheme("basic" if str(node.get("scheme")).lower() == "basic" else "bearer")
        case "oauth2":
            flows = node.get("flows")
            flow = flows.get("clientCredentials") if isinstance(flows, dict) else None
            return Scheme("oauth2", token_url=str(flow.get("tokenUrl", "")) if isinstance(flow, dict) else "")
        case other:
            return Scheme(str(other))


def check(tool: OpenAPITool, schemes: Mapping[str, Scheme], env: Environment) -> None:
    """Whether each credential fits its scheme. Raises Terminal."""
    for name, auth in tool.auth.items():
        field, scheme = f"spec.openapi.auth.{name}", schemes.get(name)
        if scheme is None:
            known = ", ".join(schemes) or "none"
            raise _unfit(f"{field}: the document has no security scheme of that name (it has {known})")
        if scheme.type == "mutualTLS":
            raise _unfit(f"{field}: client certificates are not supported")
        if auth.basic is not None and scheme.type != "basic":
            raise _unfit(f"{field}: the scheme is {scheme.type}; set secretKeyRef instead of basic")
        if auth.secret_key_ref is not None and scheme.type == "basic":
            raise _unfit(f"{field}: the scheme is basic; set basic with usernameFrom and passwordFrom")
        client = auth.oauth2_client_credentials
        if client is not None and not (client.token_url or scheme.token_url.startswith(("http://", "https://"))):
            raise _unfit(f"{field}: the document has no tokenUrl for client credentials; set tokenURL")
    for header, value in _credentials(tool.auth, schemes, dict.fromkeys(tool.auth, ()), env).headers.items():
        check_header(header, value)


def unmet(operation: Operation, auth: Auth) -> str:
    """A scheme for which the operation needs credentials and has none; "" where it has all it needs."""
    if not operation.security or _chosen(operation, auth) is not None:
        return ""
    return next(name for name in operation.security[0] if name not in auth)


def credentials_of(
    operation: Operation, tool: OpenAPITool, schemes: Mapping[str, Scheme], env: Environment
) -> Credentials:
    """What the operation asks for, as far as the manifest has it."""
    chosen = _chosen(operation, tool.auth)
    if chosen is None:
        chosen = operation.security[0] if operation.security else {}
    return _credentials(tool.auth, schemes, chosen, env)


def _chosen(operation: Operation, auth: Auth) -> Mapping[str, tuple[str, ...]] | None:
    """The first alternative for which there are credentials, one without any last."""
    fitting = [one for one in operation.security if all(name in auth for name in one)]
    return max(fitting, key=bool, default=None)


def _credentials(
    auth: Auth, schemes: Mapping[str, Scheme], wanted: Mapping[str, tuple[str, ...]], env: Environment
) -> Credentials:
    headers: dict[str, str] = {}
    query, cookies, client = [], [], None
    for name, scopes in wanted.items():
        given = auth.get(name)
        if given is None:
            continue
        scheme = schemes[name]
        if given.oauth2_client_credentials is not None:
            client = _client(name, given, scheme, scopes, env)
        elif given.basic is not None:
            headers["authorization"] = basic(env[variable(name, USERNAME)], env[variable(name, PASSWORD)])
        elif (value := env[variable(name, SECRET)].strip()) and scheme.type == "apiKey":
            match scheme.where:
                case "header":
                    headers[scheme.name.lower()] = value
                case "query":
                    query.append((scheme.name, value))
                case "cookie":
                    cookies.append((scheme.name, value))
                case where:
                    raise invalid(f'the security scheme {name} is in "{where}"')
        else:
            headers["authorization"] = f"Bearer {value}"
    return Credentials(headers, query, cookies, client)


def _client(
    name: str, given: SchemeAuth, scheme: Scheme, scopes: tuple[str, ...], env: Environment
) -> Client | None:
    stated = given.oauth2_client_credentials
    if stated is None:
        return None
    return Client(
        stated.token_url or scheme.token_url,
        env[variable(name, CLIENT_ID)].strip(),
        env[variable(name, CLIENT_SECRET)].strip(),
        tuple(stated.scopes) or scopes,
    )


def _unfit(why: str) -> Terminal:
    return Terminal(why, reason="UnfitCredentials")
