"""An API server that answers what a test recorded, over real HTTP or HTTPS; and the commands run against it.

Used by the tests of this folder. It judges nothing: it notes each request and plays the next answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from urllib.parse import parse_qsl, urlsplit

from kubechain.cli.main import main
from kubechain.resources.json import JsonObject, JsonValue

GROUP = "kubechain.humanlayer.dev"
ROOT = f"/apis/{GROUP}/v1alpha1/namespaces/default"
VERBS: list[JsonValue] = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass
class Request:
    """One request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: JsonObject


@dataclass
class Answer:
    """What is answered: one document, or (with `events`) a watch that sends these and ends."""

    document: JsonObject = field(default_factory=dict)
    status: int = 200
    events: list[JsonObject] | None = None
    hold: threading.Event | None = None
    """A watch stays open until this is set."""


TOOLING = ("ToolCall", "ToolResult", "Tool", "MCPServer")
"""Kinds that the commands about tools ask for."""


class RecordedApi:
    """Answers by `METHOD PATH`; watches by `WATCH PATH`. The last answer of a list is given again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[Request] = []
        self.url = ""
        self.tell("GET /api", discovery("", ("namespaces", "Namespace", ["ns"]), ("secrets", "Secret", [])))
        ours: tuple[tuple[str, str, list[JsonValue]], ...] = (
            ("llms", "LLM", []),
            ("agents", "Agent", []),
            ("tasks", "Task", []),
            ("taskruns", "TaskRun", []),
        )
        self.tell("GET /apis", discovery(GROUP, *ours, *((f"{kind.lower()}s", kind, []) for kind in TOOLING)))

    def tell(self, what: str, *documents: JsonObject, status: int = 200) -> None:
        """Records the answers to one kind of request."""
        self.answers[what] = [Answer(document, status) for document in documents]

    def tell_events(self, path: str, *events: JsonObject, hold: threading.Event | None = None) -> None:
        """Records one more watch of a path: its events, then its end (or silence until `hold` is set)."""
        self.answers.setdefault(f"WATCH {path}", []).append(Answer(events=list(events), hold=hold))

    def answer(self, request: Request) -> Answer:
        """The recorded answer, or a 404."""
        self.requests.append(request)
        method = "WATCH" if request.query.get("watch") == "true" else request.method
        recorded = self.answers.get(f"{method} {request.path}")
        if not recorded:
            return Answer(not_found(request.path), 404)
        return recorded.pop(0) if len(recorded) > 1 else recorded[0]

    def of(self, method: str) -> list[Request]:
        """The requests of one method."""
        return [request for request in self.requests if request.method == method]


def discovery(group: str, *resources: tuple[str, str, list[JsonValue]]) -> JsonObject:
    """An APIGroupDiscoveryList of one group."""
    entries: list[JsonValue] = [
        {
            "resource": plural,
            "responseKind": {"kind": kind},
            "singularResource": kind.lower(),
            "scope": "Cluster" if kind == "Namespace" else "Namespaced",
            "shortNames": short,
            "categories": ["kubechain"] if group else [],
            "verbs": VERBS,
        }
        for plural, kind, short in resources
    ]
    version = "v1alpha1" if group else "v1"
    return {"items": [{"metadata": {"name": group}, "versions": [{"version": version, "resources": entries}]}]}


def status(code: int, reason: str, message: str, details: JsonObject | None = None) -> JsonObject:
    """A Status that is not a success."""
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details or {},
    }


def not_found(path: str) -> JsonObject:
    """The Status of an object that is not there."""
    plural, _, name = path.rpartition("/")
    return status(404, "NotFound", f'{plural.rpartition("/")[2]}.{GROUP} "{name}" not found')


def taskrun(phase: str = "Running", version: str = "5", **status: JsonValue) -> JsonObject:
    """A TaskRun named `hello`."""
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "TaskRun",
        "metadata": {"name": "hello", "namespace": "default", "uid": "u1", "resourceVersion": version},
        "spec": {"task": "hello-task"},
        "status": {"phase": phase, **status},
    }


def listed(*objects: JsonObject, kind: str = "TaskRun", version: str = "7") -> JsonObject:
    """A list as the API answers it."""
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": f"{kind}List",
        "metadata": {"resourceVersion": version},
        "items": [*objects],
    }


@contextmanager
def serving(tls: SSLContext | None = None) -> Iterator[RecordedApi]:
    """A RecordedApi that listens on a free port of 127.0.0.1."""
    api = RecordedApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            query = dict(parse_qsl(parts.query))
            answer = api.answer(Request(self.command, parts.path, query, dict(self.headers), body))
            if answer.events is None:
                document = json.dumps(answer.document).encode()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in answer.events:
                line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            if answer.hold is not None:
                answer.hold.wait(30)
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, url: str, **cluster: JsonValue) -> Path:
    """A kubeconfig with one context, in JSON as `kubechain up` writes it."""
    config: JsonObject = {
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "u", "user": {"token": "the-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


def kubechain(*words: str) -> int:
    """Runs one command line in this process; its exit code."""
    return main(list(words))
