"""The port `Api` over HTTP: a real Kubernetes API server, or any that answers like one.

Opened by `connect`; the counterpart of `store.engine`. Documents are bytes, and are decoded once if the kind
is typed. It has no cache and no retries, and fetches one page of a list at a time.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import msgspec

from kubechain.cluster import answers
from kubechain.cluster.answers import Meta
from kubechain.cluster.connection import MERGE_PATCH, Connection, Request
from kubechain.cluster.http import opened
from kubechain.cluster.kubeconfig import load
from kubechain.cluster.target import ClusterSettings, Target, located, of_service_account
from kubechain.errors import AlreadyExists, BadRequest, Conflict, Details, NotFound
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import GROUP, VERSION, Kind, R, T
from kubechain.resources.model import Clock, Resource
from kubechain.resources.workloads import PODS
from kubechain.runtime.api import (
    ALL_NAMESPACES,
    Bookmark,
    Change,
    DeleteOptions,
    Deletion,
    ListOptions,
    Page,
    WatchOptions,
)
from kubechain.runtime.checkpoint import one_by_one
from kubechain.runtime.clock import now
from kubechain.runtime.selectors import FieldSelector, LabelSelector

WATCH_SECONDS = 300, 600
"""A watch ends by itself after a time between these, so that watches spread over the servers there are."""
_METADATA_ALONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@asynccontextmanager
async def connect(settings: ClusterSettings, clock: Clock = now) -> AsyncIterator[RemoteApi]:
    """The API server that the settings name, while the block lasts; nothing is sent yet.

    Raises SettingsError (the kubeconfig), Unauthorized (its credentials).
    """
    paths = located(settings)
    target = load(paths, settings.context, clock) if paths else of_service_account()
    async with opened(target) as connection:
        yield RemoteApi(connection, target)


class RemoteApi:
    """See the port. Every method sends one request, except `delete`, which first reads the object."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self.target = target

    @property
    def answered(self) -> Mapping[tuple[str, ...], int]:
        """How many answers there were so far, by method, HTTP code and the reason of a refusal."""
        return self._connection.answered

    async def served(self) -> set[str]:
        """The plurals of our kinds that the server knows; those missing have no CRD there."""
        try:
            document = await self._get(f"/apis/{GROUP}/{VERSION}")
        except NotFound:
            return set()
        return {resource.name for resource in msgspec.json.decode(document, type=_Resources).resources}

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        return _decoded(kind, await self._get(path(kind, namespace, name)))

    async def list(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: ListOptions | None = None
    ) -> Page[T]:
        o = options or ListOptions()
        query = _selected(o.labels, o.fields) | _said(
            limit=str(o.limit or ""),
            **{"continue": o.continue_token},
            resourceVersion=o.resource_version,
            resourceVersionMatch=o.match,
        )
        return answers.page(kind, await self._get(path(kind, namespace), query))

    async def watch(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        o = options or WatchOptions()
        request = Request("GET", path(kind, namespace), _watched(o))
        async with aclosing(self._connection.stream(request)) as lines:
            async for line in lines:
                event = answers.change(kind, line)
                if isinstance(event, Change) or o.bookmarks or event.initial_end:
                    yield event

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        meta, body = _given(kind, obj)
        if kind.namespaced and not meta.namespace:
            raise BadRequest("an empty namespace may not be set during creation")
        return await self._write("POST", kind, path(kind, meta.namespace), body, dry_run)

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        meta, body = _given(kind, obj)
        return await self._write("PUT", kind, path(kind, meta.namespace, meta.name), body, dry_run)

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        meta, body = _given(kind, obj)
        return await self._write("PUT", kind, path(kind, meta.namespace, meta.name) + "/status", body, dry_run)

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        return await one_by_one(self, kind, obj, child_kind, children)

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        where = path(kind, namespace, name) + ("/status" if status else "")
        request = Request("PATCH", where, {}, msgspec.json.encode(merge), MERGE_PATCH)
        return _decoded(kind, await self._connection.send(request))

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        where = path(kind, namespace, name)
        last = await self._get(where)  # of what is gone at once the server tells the name alone
        body = msgspec.json.encode(_deletion(options or DeleteOptions()))
        answer = await self._connection.send(Request("DELETE", where, {}, body))
        if answers.is_status(answer):
            return Deletion(kind.decode(last), gone=True)
        terminating = answers.head(answer).metadata.deletion_timestamp is not None
        return Deletion(kind.decode(answer), gone=not terminating)

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        try:
            return await self.create(kind, obj)
        except AlreadyExists:
            meta, _ = _given(kind, obj)
            return await self.get(kind, meta.name, meta.namespace)

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        meta, _ = _given(kind, obj)
        document = await self._get(path(kind, meta.namespace, meta.name), accept=_METADATA_ALONE)
        newest = answers.head(document).metadata
        if (newest.resource_version, newest.uid) != (meta.resource_version, meta.uid):
            text = f'Operation cannot be fulfilled on {kind.qualified} "{meta.name}": {_MODIFIED}'
            raise Conflict(text, Details(name=meta.name, group=kind.group, kind=kind.plural))

    async def log(self, namespace: str, pod: str, most: int, tail: int = 0) -> bytes:
        """What the one container of a pod printed: the first `most` bytes, or those of the last `tail` lines."""
        query = {"limitBytes": str(most)} | ({"tailLines": str(tail)} if tail else {})
        return await self._get(path(PODS, namespace, pod) + "/log", query, "*/*")

    async def _get(
        self, where: str, query: dict[str, str] | None = None, accept: str = "application/json"
    ) -> bytes:
        return await self._connection.send(Request("GET", where, query or {}, accept=accept))

    async def _write(self, method: str, kind: Kind[T], where: str, body: bytes, dry_run: bool) -> T:
        query = {"dryRun": "All"} if dry_run else {}
        return _decoded(kind, await self._connection.send(Request(method, where, query, body)))


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource]


def path(kind: Kind[T], namespace: str, name: str = "") -> str:
    """The path of a kind's objects, or of one; namespace "" means all namespaces."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    inside = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return f"{root}{inside}/{kind.plural}" + (f"/{name}" if name else "")


def _decoded(kind: Kind[T], document: bytes) -> T:
    """The object. A typed one is without managedFields, which the server keeps anyway."""
    obj = kind.decode(document)
    if isinstance(obj, Resource):
        obj.metadata.managed_fields = []
    return obj


def _given(kind: Kind[T], obj: T) -> tuple[Meta, bytes]:
    """Names and versions of an object that the caller gave, and its document."""
    document = kind.encode(obj)
    if isinstance(obj, Resource):
        meta = obj.metadata
        return Meta(meta.name, meta.namespace, meta.uid, meta.resource_version), document
    try:
        return answers.head(document).metadata, answers.with_type(kind, document)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"{kind.kind}: the document is no object: {error}") from None


def _selected(labels: LabelSelector, fields: FieldSelector) -> dict[str, str]:
    return _said(labelSelector=str(labels), fieldSelector=str(fields))


def _said(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _watched(options: WatchOptions) -> dict[str, str]:
    query = {"watch": "true", "timeoutSeconds": str(random.randint(*WATCH_SECONDS))}  # noqa: S311
    query |= _selected(options.labels, options.fields)
    query |= _said(resourceVersion="" if options.since == "0" else options.since)
    if options.bookmarks or options.initial_events:
        query["allowWatchBookmarks"] = "true"
    if options.initial_events:
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    return query


def _deletion(options: DeleteOptions) -> JsonObject:
    body: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if options.propagation:
        body["propagationPolicy"] = options.propagation
    if options.uid or options.resource_version:
        body["preconditions"] = {**_said(uid=options.uid, resourceVersion=options.resource_version)}
    if options.dry_run:
        body["dryRun"] = ["All"]
    return body
