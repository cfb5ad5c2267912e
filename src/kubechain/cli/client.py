"""A small synchronous client of the Kubernetes API. Requests share one connection; each watch has its own.

Created by the commands from a kubeconfig. Standard library only, so that a command starts fast.
Never retries a write.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import click

from kubechain import errors
from kubechain.cli import instance, kubeconfig
from kubechain.cli.exits import CommandError, NotRunning
from kubechain.cli.kubeconfig import Target
from kubechain.cluster.trust import context
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.status import error_of

TIMEOUT = 30.0
"""Seconds that one request may take; watches may be silent for ever."""

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE_PATCH = "application/merge-patch+json"


class Client:
    """One API server, spoken to as one user. `namespace` is the one that commands use unless told another."""

    def __init__(self, target: Target, namespace: str = "", source: Path | None = None) -> None:
        """`source`: the kubeconfig that the target is from, where it may change."""
        self.target = target
        self.source = source
        self.namespace = namespace or target.namespace
        self._tls: ssl.SSLContext | None = None
        self._kept: http.client.HTTPConnection | None = None

    def get(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> JsonObject:
        """The object or list at a path. Raises errors.ApiError, NotRunning."""
        return self.send("GET", path, query, accept=accept)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> JsonObject:
        """The JSON answer to one request. Raises errors.ApiError (a Status that is no success), NotRunning."""
        payload = None if body is None else json.dumps(body).encode()
        headers = self._headers(accept) | ({"Content-Type": content_type} if body is not None else {})
        url = _url(path, query)
        status, document = self._exchange(method, url, payload, headers)
        if status >= 400:
            raise _failure(status, document)
        return _json(document)

    def watch(
        self, path: str, query: Mapping[str, str], accept: str = "application/json", seconds: float | None = None
    ) -> Iterator[JsonObject]:
        """Watch events as they come, until the server ends the stream.

        Raises errors.Gone (start over with a list), TimeoutError (`seconds` of silence), NotRunning.
        """
        connection = self._connect(seconds)
        url = _url(path, {"watch": "true", "allowWatchBookmarks": "true", **query})
        with closing(connection):
            try:
                connection.request("GET", url, headers=self._headers(accept))
                response = connection.getresponse()
                if response.status >= 400:
                    raise _failure(response.status, response.read())
                while line := response.readline():
                    event = _json(line)
                    if event.get("type") == "ERROR":
                        raise _failure(0, line, event.get("object"))
                    yield event
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from None

    def look_again(self) -> None:
        """Reads the kubeconfig again, if possible: a server that was restarted may listen on another port."""
        self.close()
        if self.source is not None:
            with suppress(CommandError):
                self.target, self._tls = kubeconfig.load(self.source), None

    def sibling(self) -> Client:
        """Another client of the same server: a connection belongs to one thread."""
        return Client(self.target, self.namespace, self.source)

    def close(self) -> None:
        """Closes the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _exchange(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        fresh = self._kept is None
        if self._kept is None:
            self._kept = self._connect(TIMEOUT)
        try:
            self._kept.request(method, url, body, headers)
            response = self._kept.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if method == "GET" and not fresh:  # the server closed the idle connection: that read nothing
                return self._exchange(method, url, body, headers)
            raise self._unreachable(error) from None

    def _connect(self, timeout: float | None) -> http.client.HTTPConnection:
        parts = urlsplit(self.target.server)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context())
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            t = self.target
            try:
                self._tls = context(t.authority, t.certificate, t.key, verify=t.verify)
            except ssl.SSLError as error:
                raise CommandError(
                    f"the certificates for {t.server} cannot be used ({error.reason or error}): see the kubeconfig"
                ) from None
        return self._tls

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "kubechain"}
        if self.target.token:
            headers["Authorization"] = f"Bearer {self.target.token}"
        return headers

    def _unreachable(self, error: Exception) -> NotRunning:
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NotRunning(f"no answer from {self.target.server} ({cause}): {self._next_move()}")

    def _next_move(self) -> str:
        """What to do about a server that does not answer."""
        if urlsplit(self.target.server).hostname not in instance.LOOPBACK:
            return "check that the cluster runs, and that the kubeconfig is the right one"
        state = instance.state_of(self.source)
        start, look = instance.command("up", state), instance.command("status", state)
        return f"start KubeChain with `{start}`, or look with `{look}`"


def connect(flag: str | None = None, namespace: str = "") -> Client:
    """A client for the kubeconfig of the flag, $KUBECONFIG or the state folder; the command closes it."""
    source = kubeconfig.locate(flag)
    client = Client(kubeconfig.load(source), namespace, source)
    if command := click.get_current_context(silent=True):
        command.call_on_close(client.close)
    return client


def _url(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _json(document: bytes) -> JsonObject:
    try:
        decoded = json.loads(document)
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        raise errors.ApiError(f"the server answered with something that is not a JSON object: {document[:80]!r}")
    return decoded


def _failure(code: int, document: bytes, status: JsonValue = None) -> errors.ApiError:
    """The error in a Status, or in the answer of a proxy."""
    if status is None:
        try:
            status = json.loads(document)
        except ValueError:
            status = None
    return error_of(code, status, document)
