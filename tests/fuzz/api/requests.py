"""One seed -> one request: method, path, headers and body of a client that is careless, broken or hostile.

Called by the runner. Pure: the same seed is the same request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from kubechain.server.served import Served, catalogue
from tests.fuzz.api.values import NAMES, NUMBERS, WORDS, as_json, as_yaml, bent, large, manifest, strange
from tests.world import PLAIN_TOKEN, TOKEN

PROTOBUF = [
    bytes.fromhex(text)
    for text in json.loads(
        (Path(__file__).parents[2] / "unit" / "server" / "protobuf_bodies.json").read_text()
    ).values()
]
NAMESPACES = ("default",) * 12 + ("other", "none", "x" * 300, "..")
PATCHES = ("json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
ACCEPTS = (
    "application/json", "*/*", "", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=Table;v=v9;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", ";;;=",
    "a/b;q=nan,application/json;q=-1", "," * 300,
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;q=x;as",
)  # fmt: skip
_SCHEMES = ("Bearer",) * 30 + ("bearer", "Basic")
DOCUMENTS = (
    "/", "/api", "/apis", "/version", "/healthz", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1",
    "/metrics",
    "/apis/kubechain.humanlayer.dev/v1alpha1", "/api/v1", "/nothing", "//api", "/api/v1/", "/%00",
    "/%ff/%2e%2e/",
)  # fmt: skip
QUERY: dict[str, tuple[str, ...]] = {
    "watch": ("1", "true", "0", "x"),
    "limit": ("1", "0", "-1", "9223372036854775807", "9" * 30, "x", "1_0"),
    "continue": ("x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "A" * 3000),
    "resourceVersion": ("0", "1", "-1", "99999999999999999999", "x", "18446744073709551615"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "sendInitialEvents": ("true", "false"),
    "allowWatchBookmarks": ("true",),
    "labelSelector": (
        "a=b",
        "a in (b,c)",
        "!a",
        "a>1",
        "a,b,c",
        "((((",
        "a in (",
        "=",
        "é=1",
        ",".join(["a"] * 3000),
    ),
    "fieldSelector": (
        "metadata.name=a",
        "spec.task=a",
        "metadata.name!=a",
        "x",
        "a=b=c",
        "metadata.name=" + "x" * 999,
    ),
    "dryRun": ("All", "x", ""),
    "fieldManager": ("m", "", "x" * 200, "\x00", "é"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "force": ("true", "x"),
    "pretty": ("true", "false"),
    "propagationPolicy": ("Background", "Foreground", "Orphan", "x"),
    "gracePeriodSeconds": ("0", "-1", "9" * 30, "x"),
    "includeObject": ("None", "Object", "x"),
    "orphanDependents": ("true", "false"),
    "timeout": ("1s", "x"),
}


@dataclass
class Sent:
    """A request as it goes over the wire; `watches`: its answer may have no end."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunked: bool = False

    @property
    def watches(self) -> bool:
        return "watch" in self.target

    def encoded(self) -> bytes:
        """The bytes."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        head = "\r\n".join(lines).encode("latin-1", errors="replace") + b"\r\n\r\n"
        return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body) if self.chunked else self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.target[:200]} {self.headers} {self.body[:300]!r} ({len(self.body)} bytes)"


def request(seed: int) -> Sent:
    """The request of a seed."""
    random = Random(seed)
    if random.random() < 0.06:
        path, served = random.choice(DOCUMENTS), None
    else:
        served = random.choice([s for s in catalogue().values() if "update" in s.verbs or random.random() < 0.2])
        path = ""
    name, namespace = random.choice(NAMES), random.choice(NAMESPACES)
    method, below = random.choice(
        (("GET", 0), ("GET", 1), ("POST", 0), ("POST", 0), ("POST", 0), ("PUT", 1), ("PATCH", 1),
        ("PATCH", 1),
         ("PATCH", 1), ("DELETE", 1), ("DELETE", 0), (random.choice(("HEAD", "TRACE", "OPTIONS", "PUT",
         "POST")), 1))
    )  # fmt: skip
    if served is not None:
        path = _path(random, served, name if below else "", namespace)
    query = _query(random, method)
    media, body = _body(random, served, method, name, namespace)
    sent = Sent(method, path + (f"?{query}" if query else ""), _headers(random, media), body)
    _framed(random, sent)
    return sent


def _path(random: Random, served: Served, name: str, namespace: str) -> str:
    kind = served.kind
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    if random.random() < 0.03:
        root += "/watch"
    place = f"/namespaces/{namespace}" if kind.namespaced and random.random() < 0.95 else ""
    path = f"{root}{place}/{kind.plural}"
    if name:
        path += f"/{quote(random.choice(WORDS), errors='replace') if random.random() < 0.03 else name}"
        if random.random() < 0.1:
            path += random.choice(("/status", "/status", "/token", "/scale", "/"))
    return path


def _query(random: Random, method: str) -> str:
    asked = [
        (key, random.choice(QUERY[key]))
        for key in random.sample(list(QUERY), random.choice((0, 0, 0, 0, 0, 0, 0, 1, 2, 4)))
    ]
    if random.random() < 0.03:
        asked.append((random.choice(list(QUERY)), random.choice(WORDS)))
    if method == "PATCH" and random.random() < 0.7:
        asked.append(("fieldManager", random.choice("mno")))
    if any(key == "watch" for key, _ in asked) and random.random() < 0.9:
        asked.append(("timeoutSeconds", random.choice(("1", "1", "-1", "9" * 25))))
    return urlencode(asked, errors="replace")


def _body(random: Random, served: Served | None, method: str, name: str, namespace: str) -> tuple[str, bytes]:
    if served is None or (method in ("GET", "HEAD") and random.random() < 0.95):
        return "", b""
    if method == "DELETE":
        return _options(random)
    value: Any = manifest(random, served, name, namespace)
    if random.random() < 0.5:
        value = bent(random, value)
    if method == "PATCH":
        return _patch(random, value)
    match random.randrange(12):
        case 0 | 1:
            return random.choice(("application/yaml", "application/yaml; charset=utf-8")), as_yaml(random, value)
        case 2 | 3:
            body = bytearray(random.choice(PROTOBUF))
            for _ in range(random.randrange(6)):
                body[random.randrange(4, len(body))] = random.randrange(256)
            return "application/vnd.kubernetes.protobuf", bytes(
                body[: random.randrange(len(body) // 2, 2 * len(body))]
            )
        case 4:
            return random.choice(("text/plain", "application/xml", "", "application/json; charset=\xff")), as_json(
                random, value
            )
    return "application/json", as_json(random, value)


def _options(random: Random) -> tuple[str, bytes]:
    if random.random() < 0.6:
        return "", b""
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": random.choice(("Background", "Foreground", "Orphan", "x")),
        "preconditions": {"uid": "u", "resourceVersion": "1"},
        "dryRun": ["All"],
        "gracePeriodSeconds": random.choice(NUMBERS),
        "orphanDependents": random.choice((True, None, "x")),
    }
    kept = {key: options[key] for key in random.sample(list(options), random.randrange(len(options)))}
    return "application/json", as_json(random, bent(random, kept) if random.random() < 0.4 else kept)


def _patch(random: Random, value: Any) -> tuple[str, bytes]:
    form = random.choice(PATCHES if random.random() < 0.3 else [p for p in PATCHES if "strategic" not in p])
    media = f"application/{form}"
    if form == "json-patch+json":
        return media, as_json(random, [_operation(random) for _ in range(random.choice((0, 1, 2, 5, 40)))])
    if form == "apply-patch+yaml":
        return media, as_yaml(random, value)
    if form == "strategic-merge-patch+json" and isinstance(value, dict):
        value = {**value, random.choice(("$patch", "$retainKeys", "$setElementOrder/metadata")): strange(random)}
        meta = value.get("metadata")
        if isinstance(meta, dict):
            meta |= {random.choice(_DIRECTIVES): strange(random), "finalizers": strange(random)}
    return media, as_json(random, value)


_DIRECTIVES = (
    "$setElementOrder/finalizers", "$deleteFromPrimitiveList/finalizers",
    "$setElementOrder/ownerReferences", "$patch",
    "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/",
)  # fmt: skip
_POINTERS = (
    "", "/", "/metadata", "/metadata/labels", "/metadata/labels/a", "/metadata/labels/a~1b",
    "/metadata/finalizers/-",
    "/metadata/finalizers/0", "/metadata/ownerReferences/0/uid", "/spec", "/spec/tools/0",
    "/spec/tools/-1", "/status",
    "/spec/parameters", "/spec/parameters/a", "/data", "/data/k", "/kind", "/metadata/name",
    "/metadata/managedFields",
    "spec", "/a~2", "/metadata/resourceVersion", "/rules/0/verbs/00", "/spec/tools/٣", "/metadata/uid",
)  # fmt: skip


def _operation(random: Random) -> Any:
    if random.random() < 0.03:
        return strange(random)
    made = {
        "op": random.choice(("add", "add", "replace", "remove", "test", "copy", "move", "x")),
        "path": random.choice(_POINTERS),
        "from": random.choice(_POINTERS),
        "value": large(random) if random.random() < 0.05 else strange(random),
    }
    for key in ("from", "value", "path"):
        if random.random() < 0.03:
            del made[key]
    return made


def _headers(random: Random, media: str) -> list[tuple[str, str]]:
    token = random.choice((TOKEN,) * 150 + (PLAIN_TOKEN, "", "a.b.c", "x" * 5000, "é", "e30.e30.e30"))
    accept = random.choice(ACCEPTS) if random.random() < 0.2 else "application/json"
    headers = [("Host", "127.0.0.1"), ("Accept", accept)]
    if token or random.random() < 0.5:
        headers.append(("Authorization", f"{random.choice(_SCHEMES)} {token}"))
    if media:
        headers.append(("Content-Type", media))
    extra = (
        ("Impersonate-User", "u"), ("Impersonate-Group", "g"), ("Impersonate-Uid", "x"), ("User-Agent",
        "curl/8"),
        ("Impersonate-Extra-%zz", "x"), ("If-None-Match", '"x"'), ("Accept-Encoding", "gzip"),
        ("User-Agent", "\x80/1"),
        ("Content-Encoding", "gzip"), ("Host", "127.0.0.1"), ("X-" + "a" * 2000, "b" * 3000), ("Upgrade",
        "websocket"),
        ("Connection", "Upgrade"), ("Expect", "100-continue"), ("Cookie", "a=b"), ("Range", "bytes=0-1"),
    )  # fmt: skip
    return headers + random.sample(extra, random.choice((0,) * 14 + (1, 2)))


def _framed(random: Random, sent: Sent) -> None:
    """How the body's end is told: rightly, mostly."""
    if not sent.body and sent.method in ("GET", "HEAD", "DELETE") and random.random() < 0.9:
        return
    match random.randrange(20):
        case 0:
            sent.chunked = True
            sent.headers.append(("Transfer-Encoding", "chunked"))
        case 1:
            lie = random.choice((0, max(0, len(sent.body) - 1), 10**12, "x", "-1", 10**30))
            sent.headers.append(("Content-Length", str(lie)))
        case _:
            sent.headers.append(("Content-Length", str(len(sent.body))))
