"""The port `Api`: a Kubernetes API as the rest of the program sees it.

Implemented by `store` (embedded) and `cluster` (a real API server); used by the controllers, the server and the
tests. Objects come as the codec of the `Kind` that is asked for: typed models, or JSON bytes for `kind.raw`.
Semantics are those of a Kubernetes API server: a resource version on every object, compare-and-swap on it,
`metadata.generation` counted, status written only by `put_status`, deletion through finalizers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, R
from kubechain.resources.model import Resource
from kubechain.runtime.selectors import FieldSelector, LabelSelector

T = TypeVar("T")

ALL_NAMESPACES = ""


class Key(msgspec.Struct, frozen=True, order=True, gc=False):
    """The name of an object of a kind that is known from elsewhere; what a work queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Resource) -> Key:
    """The object's key."""
    return Key(obj.metadata.namespace, obj.metadata.name)


class ListOptions(msgspec.Struct, frozen=True):
    """`resource_version` and `match` as in the Kubernetes API; `limit` 0 means everything in one page."""

    labels: LabelSelector = msgspec.field(default_factory=LabelSelector)
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: Literal["", "Exact", "NotOlderThan"] = ""


class WatchOptions(msgspec.Struct, frozen=True):
    """`since` "" or "0": the present as ADDED, then changes; "N": every change after N.

    `initial_events`: the present as ADDED, a Bookmark with `initial_end`, then changes (WatchList).
    `bookmarks`: now and then a Bookmark, so that a silent watch can be resumed.
    """

    labels: LabelSelector = msgspec.field(default_factory=LabelSelector)
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)
    since: str = ""
    initial_events: bool = False
    bookmarks: bool = False


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Objects ordered by namespace and name; `remaining` only where it is known without selectors."""

    items: list[T]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


class Change(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One watch event. For DELETED, `object` is the last state, with the deletion's resource version."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    resource_version: str
    object: T


class Bookmark(msgspec.Struct, frozen=True, gc=False):
    """Everything up to `resource_version` has been delivered."""

    resource_version: str
    initial_end: bool = False


class DeleteOptions(msgspec.Struct, frozen=True):
    """`propagation` "" is the kind's default (Background)."""

    propagation: Literal["", "Background", "Foreground", "Orphan"] = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


class Deletion(msgspec.Struct, Generic[T], frozen=True):
    """What a delete did: `gone`, or still there with a deletionTimestamp until its finalizers go."""

    object: T
    gone: bool


class Api(Protocol):
    """Every call may raise an `errors.ApiError`; none retries on Conflict."""

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """The newest state. Raises NotFound."""
        ...

    async def list(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: ListOptions | None = None
    ) -> Page[T]:
        """A consistent page. Raises Gone (continue token or version too old), BadRequest."""
        ...

    def watch(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        """Changes in order, for as long as the caller reads. Raises Gone: list again; close it with aclosing.

        It ends by itself when the reader is too slow or the API goes away: resume from the last version seen.
        """
        ...

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        """The stored object. `metadata.name`, or `generateName`, and namespace come from the object.

        Raises AlreadyExists, NotFound (the namespace), Forbidden (namespace terminating), Invalid.
        """
        ...

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        """Replaces everything but status (where the kind has a status subresource).

        A resource version in the object is compared (Conflict); an unchanged object is not written.
        """
        ...

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        """Replaces status alone; same comparison."""
        ...

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        """Replaces status alone, then ensures the children that it asks for: in one go where the engine can.

        The written object, and the children that are there now. One that could not be made is left out and raises
        nothing, since the status is saved by then: look again.
        """
        ...

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        """RFC 7386 merge patch of the object, or of its status."""
        ...

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        """Raises NotFound, Conflict (a precondition of the options does not hold)."""
        ...

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        """Creates; where an object of that name exists already, returns that one."""
        ...

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        """A cheap live check that `obj` is the newest version. Raises Conflict or NotFound when it is not."""
        ...
