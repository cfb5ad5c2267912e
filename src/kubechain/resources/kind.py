"""What the rest of the program needs to know of a kind: names, codec, columns, schema.

One `Kind` per kind and version, each declared beside its model. Read by every room; holds no state.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec.structs import replace

from kubechain.resources.json import JsonObject
from kubechain.resources.model import Model, ObjectMeta, OwnerReference, Resource
from kubechain.resources.schema import structural_schema

GROUP = "kubechain.humanlayer.dev"
VERSION = "v1alpha1"
T = TypeVar("T")
R = TypeVar("R", bound=Resource)


class Column(msgspec.Struct, frozen=True):
    """An additionalPrinterColumn. `path` is a JSONPath below the object (`.status.ready`)."""

    name: str
    path: str
    type: Literal["string", "boolean", "integer", "date"] = "string"
    wide: bool = False
    description: str = ""


class Kind(msgspec.Struct, Generic[T], frozen=True, dict=True):
    """A kind and the codec of its objects: `T` is the typed model, or bytes for `kind.raw`."""

    group: str
    version: str
    kind: str
    plural: str
    codec: type[T]
    model: type[Model] | None = None
    """The model behind `kind.raw`; elsewhere the codec is the model."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    has_status: bool = False
    columns: tuple[Column, ...] = ()
    description: str = ""
    selectable: tuple[str, ...] = ()
    """Dotted paths, besides metadata.name and metadata.namespace, that field selectors may name."""

    @cached_property
    def key(self) -> tuple[str, str]:
        """(group, plural): the same for the typed and the raw form."""
        return self.group, self.plural

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @cached_property
    def qualified(self) -> str:
        """`agents.kubechain.humanlayer.dev` (`secrets` for the core group), as error texts name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def ours(self) -> bool:
        return self.group == GROUP

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.plural, self.codec))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Kind)
            and (self.group, self.version, self.plural) == (other.group, other.version, other.plural)
            and self.codec is other.codec
        )

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.codec)

    @cached_property
    def _encoder(self) -> msgspec.json.Encoder:
        return msgspec.json.Encoder()

    def decode(self, document: bytes) -> T:
        """The object in a JSON document. Raises msgspec.ValidationError when it does not fit the model."""
        if self.codec is bytes:
            return document  # type: ignore[return-value]
        return self._decoder.decode(document)

    def encode(self, obj: T) -> bytes:
        """The JSON document of an object, apiVersion and kind filled in."""
        if isinstance(obj, bytes):
            return obj
        if isinstance(obj, Resource):
            obj.api_version, obj.kind = self.api_version, self.kind
        return self._encoder.encode(obj)

    @cached_property
    def in_parts(self) -> tuple[str, ...]:
        """The members besides the header, where each of them is an object that is always there; else none."""
        if not issubclass(self.codec, Resource):
            return ()
        own = [f for f in msgspec.structs.fields(self.codec) if f.name not in Resource.__struct_fields__]
        return tuple(f.name for f in own) if all(_object(f.type) for f in own) else ()

    @cached_property
    def raw(self) -> Kind[bytes]:
        """The same kind, its objects left as JSON bytes: what the server works with."""
        return replace(cast("Kind[bytes]", self), codec=bytes, model=self._model)

    @property
    def _model(self) -> type[Model] | None:
        if self.model is not None:
            return self.model
        return self.codec if issubclass(self.codec, Model) else None

    @cached_property
    def schema(self) -> JsonObject:
        """The structural OpenAPI v3 schema of spec and status (metadata left to the API server)."""
        if self._model is None:
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return structural_schema(self._model, self.description)

    @cached_property
    def initial_status(self) -> JsonObject | None:
        """What a new object shows before anyone looked at it: `initial` of its status, the schema's default."""
        fields = msgspec.structs.fields(self._model) if self._model is not None else ()
        status = next((_object(field.type) for field in fields if field.name == "status"), None)
        return None if status is None else status.initial


def _object(annotation: Any) -> type[Model] | None:
    """The model of a field that is always an object; None for any other field."""
    type_ = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return type_ if isinstance(type_, type) and issubclass(type_, Model) else None


def our_kind(
    type_: type[R],
    plural: str,
    *,
    columns: tuple[Column, ...],
    short_names: tuple[str, ...] = (),
    description: str = "",
    has_status: bool = True,
    selectable: tuple[str, ...] = (),
) -> Kind[R]:
    """A kind of our group: namespaced, mostly with a status subresource, in the category `kubechain`."""
    return Kind(
        group=GROUP,
        version=VERSION,
        kind=type_.__name__,
        plural=plural,
        codec=type_,
        short_names=short_names,
        categories=("kubechain",),
        has_status=has_status,
        columns=columns,
        selectable=selectable,
        description=description or (type_.__doc__ or "").strip(),
    )


def owner_reference(kind: Kind[R], meta: ObjectMeta) -> OwnerReference:
    """The reference a child carries to the object that owns and controls it."""
    return OwnerReference(
        api_version=kind.api_version,
        kind=kind.kind,
        name=meta.name,
        uid=meta.uid,
        controller=True,
        block_owner_deletion=True,
    )


def controller_of(obj: Resource) -> OwnerReference | None:
    """The one owner that controls the object, or None."""
    for reference in obj.metadata.owner_references:
        if reference.controller is True:
            return reference
    return None


def owner_uids(obj: Resource) -> Iterable[str]:
    """The controlling owner's uid: an index function, so that an owner finds its children (`by("owner", uid)`)."""
    reference = controller_of(obj)
    return () if reference is None else (reference.uid,)
