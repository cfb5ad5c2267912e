"""The embedded API server: one ASGI application over the port `Api`, and uvicorn around it.

Started by the composition root with `serve`. Listens on loopback unless the settings say otherwise, and requires a
bearer token, except for the health endpoints and /version. Does not depend on kinds or controllers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kubechain.errors import ApiError, BadRequest, Forbidden, MethodNotAllowed, NotFound, Timeout
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Api
from kubechain.runtime.metrics import Reading
from kubechain.server import access, discovery, missing, openapi, pretty, read, reviews, tokens, write
from kubechain.server.accept import form_of
from kubechain.server.bodies import plain_in
from kubechain.server.embedding import serving
from kubechain.server.paths import RequestInfo, resolve
from kubechain.server.scope import RequestScope
from kubechain.server.served import group_versions
from kubechain.server.settings import ServerSettings, User
from kubechain.server.status import JSON, refusal
from kubechain.server.watch import Watch

_HANDLERS = {
    "get": read.get,
    "list": read.list_,
    "create": write.create,
    "update": write.update,
    "patch": write.patch,
    "delete": write.delete,
    "deletecollection": write.delete_collection,
}
REQUEST_SECONDS = 60.0
"""In which a request that is no watch must be answered; as long as a real server gives it."""
LONG_REQUESTS = 2
"""How many requests that take long are worked on at once, beside the event loop."""
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Application:
    """Requests -> answers. `stopping` ends every watch."""

    def __init__(self, api: Api, settings: ServerSettings) -> None:
        self._api = api
        self._settings = settings
        self.stopping = asyncio.Event()
        self._aside = ThreadPoolExecutor(LONG_REQUESTS, "long-request")

    def close(self) -> None:
        """Stops using the threads. Work that is still in them has no effect."""
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiError as error:
            answer = refusal(error, request.headers.get("accept", ""))
        except ClientDisconnect:
            return
        if isinstance(answer, Response) and pretty.wanted(request):
            pretty.indent(answer)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        path = request.scope["path"]
        if self._settings.loopback:
            _check_host(request.headers)
        if path in access.PUBLIC:
            return _version(request) if "version" in path else PlainTextResponse("ok")
        user = await access.who(self._api, self._settings, request.headers)
        if (target := resolve(path)) is not None:
            return await self._resource(request, user, target)
        await access.check_path(self._api, user, request.method.lower(), path)
        if path == "/metrics" and request.method in ("GET", "HEAD") and self._settings.metrics is not None:
            return _metrics(request, self._settings.metrics())
        document = _document(request, path.rstrip("/") or "/")
        if document is not None and request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return document or missing.path(path)

    async def _resource(self, request: Request, user: User, target: RequestInfo) -> ASGIApp:
        watching = "watch" in request.query_params and request.query_params["watch"] not in ("false", "0")
        verb = target.verb(request.method, watch=watching)
        homeless = target.served.kind.namespaced and not target.namespace
        if homeless and target.served.kind.ours and verb in ("create", "deletecollection"):
            return missing.page()
        allowed = target.subresource.verbs if target.subresource else target.served.verbs
        if verb not in allowed or (homeless and verb in ("create", "deletecollection")):
            raise missing.method(request.method, target)
        await access.check(self._api, user, verb, target, request.query_params)
        scope = RequestScope(self._api, self._settings, self.stopping, request, user, target, self._aside)
        if verb == "watch":
            return Watch(scope)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._done(scope, verb)
        except TimeoutError:
            raise Timeout("Timeout: request did not complete within requested timeout") from None

    async def _done(self, scope: RequestScope, verb: str) -> ASGIApp:
        target = scope.target
        if target.subresource is not None and target.subresource.name == "token":
            return scope.answer(await tokens.account_token(scope, await plain_in(scope)), 201)
        if "get" not in target.served.verbs:
            return scope.answer(await reviews.answer(scope, await plain_in(scope)), 201)
        try:
            return await _HANDLERS[verb](scope)
        except ApiError as error:
            return scope.warned(refusal(error, scope.accept))


def _metrics(request: Request, readings: Iterable[Reading]) -> Response:
    from kubechain.server.exposition import exposition

    return exposition(readings, request.headers.get("accept", ""))


def _version(request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    return _tagged(request, msgspec.json.encode(discovery.version()), JSON)


def _check_host(headers: Headers) -> None:
    """Refuses a request under an unknown host name (DNS rebinding). Raises Forbidden, BadRequest."""
    hosts = headers.getlist("host")
    if len(hosts) > 1:
        raise BadRequest("too many Host headers")
    host = hosts[0] if hosts else "localhost"
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if name.lower() not in _LOCAL_NAMES:
        raise Forbidden(f'host "{name}" is not served here: use 127.0.0.1 or localhost')


def _document(request: Request, path: str) -> Response | None:
    """The documents that describe the API, None where there is no such path."""
    parts = path.strip("/").split("/")
    match parts:
        case [""]:
            return _json(request, {"paths": list(_root_paths())})
        case ["api"] | ["apis"]:
            return _discovery(request, core=parts == ["api"])
        case ["api", version]:
            return _json(request, discovery.legacy_resources("", version))
        case ["apis", group]:
            return _json(request, discovery.legacy_group(group))
        case ["apis", group, version]:
            return _json(request, discovery.legacy_resources(group, version))
        case ["openapi", "v2"]:
            if "protobuf" in request.headers.get("accept", ""):
                return Response(openapi.V2, media_type=openapi.V2_TYPE)
            return _json(request, openapi.swagger())
        case ["openapi", "v3"]:
            return _json(request, openapi.index())
        case ["openapi", "v3", *rest]:
            try:
                return _json(request, openapi.document("/".join(rest)))
            except NotFound:
                return None
    return None


def _discovery(request: Request, *, core: bool) -> Response:
    """The aggregated form where the client can read it, in the first version that it names, else the old one."""
    for clause in request.headers.get("accept", "").split(","):
        parameters = dict(p.strip().split("=", 1) for p in clause.split(";")[1:] if "=" in p)
        version = parameters.get("v", "")
        if parameters.get("as") == "APIGroupDiscoveryList" and version in ("v2", "v2beta1"):
            media = f"{JSON};g={discovery.AGGREGATED};v={version};as=APIGroupDiscoveryList"
            return _tagged(request, _aggregated(core, version), media)
        if not parameters.get("as"):
            break
    form_of(request.headers.get("accept", ""))
    document = discovery.legacy_versions() if core else discovery.legacy_groups()
    return _tagged(request, msgspec.json.encode(document), JSON)


@cache
def _aggregated(core: bool, version: str) -> bytes:
    return msgspec.json.encode(discovery.aggregated(core=core, version=version))


def _json(request: Request, document: JsonObject | bytes | None) -> Response | None:
    if document is None:
        return None
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return _tagged(request, body, JSON)


def _tagged(request: Request, body: bytes, media: str) -> Response:
    """The document with an ETag, or 304 if the client has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"etag": tag, "vary": "Accept", "cache-control": "no-cache, private"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media)


def _root_paths() -> list[str]:
    versions = [f"/apis/{group}/{version}" for group, version in group_versions() if group]
    groups = [f"/apis/{group}" for group, _ in group_versions() if group]
    fixed = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    return sorted({*fixed, *groups, *versions})


class Server:
    """A running server: where it listens."""

    def __init__(self, host: str, port: int, *, tls: bool) -> None:
        self.host, self.port = host, port
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{port}"


@asynccontextmanager
async def serve(api: Api, settings: ServerSettings) -> AsyncIterator[Server]:
    """Serves until the block ends. Then watches end at once, and other requests get two seconds.

    Raises SettingsError if the address cannot be used.
    """
    application = Application(api, settings)
    async with serving(
        application,
        settings.host,
        settings.port,
        certificate=settings.certificate,
        private_key=settings.private_key,
        before_stop=application.stopping.set,
    ) as port:
        try:
            yield Server(settings.host, port, tls=settings.certificate is not None)
        finally:
            application.close()
