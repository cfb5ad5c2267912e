"""GET and LIST: objects, tables and metadata. Stored bytes are passed on as they are.

Called by `http`. Never writes.
"""

from __future__ import annotations

from typing import cast

import msgspec
from starlette.responses import Response

from kubechain.errors import BadRequest, InternalError, NotAcceptable
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.runtime.api import Page
from kubechain.server import fixed
from kubechain.server.accept import Form, form_of
from kubechain.server.lists import Listing, answer, each
from kubechain.server.query import check_version, list_options
from kubechain.server.scope import RequestScope
from kubechain.server.table import Include, definitions, metadata_of, partial, row, table


async def get(scope: RequestScope) -> Response:
    """One object, whole or as a table of one row."""
    form = form_of(scope.accept)
    target = scope.target
    check_version(scope.query.get("resourceVersion", ""))
    if target.served.fixed is not None:
        document = fixed.get(target.served, target.name)
    else:
        document = await scope.api.get(target.served.stored, target.name, target.namespace)
    document = target.served.show(document)
    return await scope.shown(single(scope, form, document), yaml=form.yaml)


async def list_(scope: RequestScope) -> Response:
    """A page of a collection."""
    form = form_of(scope.accept)
    target, options = scope.target, list_options(scope.query, scope.target)
    if target.served.fixed is not None:
        page = fixed.page(target.served, options)
    else:
        page = await scope.api.list(target.served.stored, target.namespace, options)
    documents = page.items
    if target.served.to_shown is not None:
        documents = await each(documents, target.served.show)
    metadata = _list_metadata(page)
    if form.shape == "table":
        return await answer(scope, await _table(scope, form, metadata, documents), yaml=form.yaml)
    if form.name == "PartialObjectMetadata":
        sort = "unstructured.UnstructuredList" if target.served.kind.ours else f"{target.served.kind.kind}List"
        raise NotAcceptable(f"you requested {form.name}, but the requested object is a list (*{sort})")
    return await answer(scope, await collection(target.served.kind, form, metadata, documents), yaml=form.yaml)


def single(scope: RequestScope, form: Form, document: bytes, *, columns: bool = True) -> bytes:
    """One object in the form asked for; `columns` False leaves a table's column definitions out."""
    if form.name == "PartialObjectMetadataList":
        raise InternalError("content is not a list", reason="")
    if form.shape == "metadata":
        return partial(document, form.version)
    if form.shape == "table":
        kind, now, include = scope.target.served.kind, scope.settings.clock(), include_of(scope)
        only = row(kind, document, now, include, form.version)
        return table(_own_version(document), definitions(kind) if columns else None, [only], form.version).whole()
    return document


async def collection(kind: Kind[bytes], form: Form, metadata: JsonObject, documents: list[bytes]) -> Listing:
    """A list object around documents, or around their metadata."""
    name, api_version = f"{kind.kind}List", kind.api_version
    if form.shape == "metadata":
        name, api_version = "PartialObjectMetadataList", f"meta.k8s.io/{form.version}"
        documents = await each(documents, lambda document: partial(document, form.version))
    head = f'{{"kind":"{name}","apiVersion":"{api_version}","metadata":'.encode()
    return Listing(b"".join((head, msgspec.json.encode(metadata), b',"items":[')), documents)


def include_of(scope: RequestScope) -> Include:
    """How much of each object a table's rows carry."""
    asked = scope.query.get("includeObject") or "Metadata"
    if asked not in ("None", "Metadata", "Object"):
        wrong = f"Invalid value: \"{asked}\": must be 'Metadata', 'Object', 'None', or empty"
        raise BadRequest(f"Unable to convert to Table as requested: includeObject: {wrong}")
    return cast("Include", asked)


async def _table(scope: RequestScope, form: Form, metadata: JsonObject, documents: list[bytes]) -> Listing:
    kind, now, include = scope.target.served.kind, scope.settings.clock(), include_of(scope)
    rows = await each(documents, lambda document: row(kind, document, now, include, form.version))
    return table(metadata, definitions(kind), rows, form.version)


def _own_version(document: bytes) -> JsonObject:
    metadata = msgspec.json.decode(metadata_of(document))
    return {"resourceVersion": metadata.get("resourceVersion", "")}


def _list_metadata(page: Page[bytes]) -> JsonObject:
    metadata: JsonObject = {"resourceVersion": page.resource_version}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return metadata


async def written(scope: RequestScope, document: bytes, code: int = 200) -> Response:
    """The answer to a write: the object in the form asked for."""
    form = form_of(scope.accept)
    return await scope.shown(single(scope, form, document), code, yaml=form.yaml)
