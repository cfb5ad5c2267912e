"""Asks a real API server what it says to each bad manifest of this folder, and writes its answers beside them.

Run by hand against a throw-away cluster that has our CRDs, reached without credentials through `kubectl proxy`:
`python -m tests.contract.bad_manifests.record http://127.0.0.1:8001`. Tests only read what it wrote.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from kubechain.resources.kind import Kind
from kubechain.resources.registry import ALL

HERE = Path(__file__).parent
KINDS: dict[str, Kind[Any]] = {kind.kind: kind for kind in ALL}
Case = dict[str, Any]


def cases(*, http: bool = True) -> list[Case]:
    """Every case: kind, verb, query, old, body (a manifest, or text to be sent as it stands), answer.

    Those of http.json are about the request rather than the manifest.
    """
    paths = [path for path in sorted(HERE.glob("*.json")) if http or path.name != "http.json"]
    return [case for path in paths for case in json.loads(path.read_text())]


def expanded(value: Any) -> Any:
    """The value with texts such as `@x*1000` written out: a thousand x."""
    if isinstance(value, dict):
        return {name: expanded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if isinstance(value, str) and (found := re.fullmatch(r"@(.)\*([0-9]+)", value)):
        return found[1] * int(found[2])
    return value


def path_of(kind: Kind[Any], name: str = "") -> str:
    """The URL path of a collection in `default`, or of an object in it."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    place = "/namespaces/default" if kind.namespaced else ""
    return f"{root}{place}/{kind.plural}" + (f"/{name}" if name else "")


def text_of(body: object) -> str:
    """The request body of a case."""
    return body if isinstance(body, str) else json.dumps(expanded(body), ensure_ascii=False)


class Server:
    """One API server: behind `kubectl proxy`, or behind TLS (`trust`) with a bearer token."""

    def __init__(self, url: str, token: str = "", trust: ssl.SSLContext | None = None) -> None:
        self.host, self.trust = urllib.parse.urlsplit(url).netloc, trust
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: object = None, media: str = "application/json") -> dict[str, Any]:
        """The answer's JSON, whatever its code."""
        plain, secure = http.client.HTTPConnection, http.client.HTTPSConnection
        connection = (
            secure(self.host, timeout=30, context=self.trust) if self.trust else plain(self.host, timeout=30)
        )
        try:
            text = None if body is None else text_of(body).encode()
            connection.request(method, path, text, {"Content-Type": media, **self.headers})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def answer(self, case: Case) -> dict[str, Any]:
        """What it says to the case's manifest, without what differs from run to run."""
        kind, query = KINDS[case["kind"]], urllib.parse.urlencode({"dryRun": "All", **case.get("query", {})})
        body = case["body"]
        if case["verb"] == "create":
            return plain(self.ask("POST", f"{path_of(kind)}?{query}", body))
        url = path_of(kind, case["old"]["metadata"]["name"])
        stored = self.ask("POST", path_of(kind), case["old"])
        try:
            body["metadata"].setdefault("resourceVersion", stored["metadata"]["resourceVersion"])
            tail = "/status" if case["verb"] == "update_status" else ""
            return plain(self.ask("PUT", f"{url}{tail}?{query}", body))
        finally:
            self.ask("DELETE", url)
            if body["metadata"].get("resourceVersion") == stored["metadata"].get("resourceVersion"):
                del body["metadata"]["resourceVersion"]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Code, reason, message and details of a Status; of an object only that it was taken."""
    if answer.get("kind") != "Status":
        return {"code": 200}
    return {key: answer[key] for key in ("code", "reason", "message", "details") if key in answer}


def main(url: str) -> None:
    """Fill in `answer` of every case of every file."""
    server = Server(url)
    for path in sorted(HERE.glob("*.json")):
        recorded = json.loads(path.read_text())
        for case in recorded:
            case["answer"] = server.answer(case)
        path.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
