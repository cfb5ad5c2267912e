"""The kind of tool `openapi`: every operation of an OpenAPI document as a tool of its own."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.choice import Glob
from kubechain.resources.json import JsonValue
from kubechain.resources.model import Model, Rule, doc
from kubechain.resources.reference import ConfigMapKeyRef, EnvVar, SecretKeyRef, SecretSource
from kubechain.resources.toolkind import ToolKind
from kubechain.resources.web import ALLOW_PRIVATE, HTTP_URL, BasicAuth

SECRET, USERNAME, PASSWORD, CLIENT_ID, CLIENT_SECRET = "value", "username", "password", "clientID", "clientSecret"


def _one_source(node: JsonValue, _: object) -> bool:
    return isinstance(node, dict) and ("configMapKeyRef" in node) != ("url" in node)


class DocumentSource(Model, kw_only=True, gc=False):
    """Where the document is."""

    rules = (
        Rule("has(self.configMapKeyRef) != has(self.url)", "set one of configMapKeyRef and url", _one_source),
    )

    config_map_key_ref: (
        Annotated[ConfigMapKeyRef, doc("A key of a ConfigMap. A change takes effect at once.")] | None
    ) = None
    url: (
        Annotated[
            str,
            doc(
                "An address. The document is read again every hour, and after kubechain reload.", pattern=HTTP_URL
            ),
        ]
        | None
    ) = None


class SchemeClient(Model, kw_only=True, gc=False):
    """OAuth 2.0 client credentials for a scheme of the document."""

    client_id_from: Annotated[SecretSource, doc("The client's id.")]
    client_secret_from: Annotated[SecretSource, doc("The client's secret.")]
    token_url: (
        Annotated[str, doc("Where tokens are issued; default: as the document says.", pattern=HTTP_URL)] | None
    ) = None
    scopes: Annotated[
        list[str], doc("The scopes to ask for; default: those that the operation needs.", max_length=50)
    ] = []


def _one_credential(node: JsonValue, _: object) -> bool:
    return isinstance(node, dict) and len(node.keys() & {"secretKeyRef", "basic", "oauth2ClientCredentials"}) == 1


class SchemeAuth(Model, kw_only=True, gc=False):
    """The credentials for one security scheme of the document."""

    rules = (
        Rule(
            "[has(self.secretKeyRef), has(self.basic), has(self.oauth2ClientCredentials)].exists_one(x, x)",
            "set one of secretKeyRef, basic and oauth2ClientCredentials",
            _one_credential,
        ),
    )

    secret_key_ref: Annotated[SecretKeyRef, doc("An API key or a token, in a Secret.")] | None = None
    basic: Annotated[BasicAuth, doc("User name and password.")] | None = None
    oauth2_client_credentials: Annotated[SchemeClient, doc("A token by OAuth 2.0 client credentials.")] | None = (
        None
    )


class OpenAPITool(ToolKind, kw_only=True, gc=False):
    """The operations of an OpenAPI document, 3.0 or 3.1. The method of each decides its effect."""

    document_from: Annotated[DocumentSource, doc("Where the document is.")]
    include: Annotated[
        list[Glob], doc("operationIds or globs of the operations to offer; default: all.", max_length=500)
    ] = []
    exclude: Annotated[
        list[Glob], doc("operationIds or globs of operations not to offer, even if included.", max_length=500)
    ] = []
    server: (
        Annotated[
            str,
            doc(
                "The address of the server; default: the first that the document names, with the defaults of its "
                "variables. {name} is replaced by the default of that variable.",
                pattern=r"^https?://[^\s/?#@]+(/\S*)?$",
                max_length=2048,
            ),
        ]
        | None
    ) = None
    auth: Annotated[
        dict[str, SchemeAuth],
        doc("Credentials by the names of the document's security schemes.", schema={"maxProperties": 20}),
    ] = {}
    allow_private: Annotated[bool, ALLOW_PRIVATE] = False

    @property
    def variables(self) -> list[EnvVar]:
        """The credentials, each as `auth.SCHEME.PART`."""
        return [
            EnvVar(name=variable(scheme, part), value_from=source)
            for scheme, auth in self.auth.items()
            for part, source in _sources(auth).items()
        ]

    @property
    def config_map(self) -> ConfigMapKeyRef | None:
        """Where the document is, unless it has an address."""
        return self.document_from.config_map_key_ref

    @property
    def many(self) -> bool:
        """Each operation is a tool."""
        return True


def variable(scheme: str, part: str) -> str:
    """The name of a credential among the values that a call gets."""
    return f"auth.{scheme}.{part}"


def _sources(auth: SchemeAuth) -> dict[str, SecretSource]:
    if auth.secret_key_ref is not None:
        return {SECRET: SecretSource(secret_key_ref=auth.secret_key_ref)}
    if auth.basic is not None:
        return {USERNAME: auth.basic.username_from, PASSWORD: auth.basic.password_from}
    if (client := auth.oauth2_client_credentials) is not None:
        return {CLIENT_ID: client.client_id_from, CLIENT_SECRET: client.client_secret_from}
    return {}
