"""Strange JSON: values, objects and the bytes that they are written as, from a seeded `Random`.

Called by `requests`. Starts from objects that are right, so that most requests get past the first check.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from kubechain.server.served import Served

NAMES = ("a", "b", "c.d", "x" * 253)
WORDS = (
    "", "a", "A", "-", ".", "..", "a/b", "a.b/c", "a" * 64, "x" * 5000, "é", "日本", "\x00", "\n",
    "\u2028", "\ud800",
    "true", "null", "0", "1e3", "{}", "*", "%2F", "../..", "${HOME}", "$patch", "kubernetes",
    "foregroundDeletion",
    "2026-01-01T00:00:00Z", "2026-13-99", "10s", "-1", "k8s.io/a=b", "<script>", "'", '"', "\\",
    "🙂" * 40,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**25, 0.5, -0.0, 1e300, 1e-300)
SPECS: dict[str, dict[str, Any]] = {
    "LLM": {"spec": {"provider": "openai-compatible", "parameters": {"model": "m",
    "baseURL": "http://127.0.0.1:1"}}},
    "Agent": {"spec": {"llmRef": {"name": "a"}, "system": "s", "tools": [{"name": "a"}, {"name": "b"}]}},
    "Tool": {"spec": {"external": {}, "description": "d", "parameters": {"type": "object",
    "properties": {}}}},
    "MCPServer": {"spec": {"transport": "stdio", "command": "true", "env": [{"name": "A",
    "value": "b"}]}},
    "Task": {"spec": {"agentRef": {"name": "a"}, "agent": "a", "userMessage": "m"}},
    "TaskRun": {"spec": {"task": "a"}},
    "ConfigMap": {"data": {"k": "v"}, "binaryData": {"b": "AA=="}},
    "Secret": {"stringData": {"k": "v"}, "type": "Opaque"},
    "Lease": {"spec": {"holderIdentity": "h",
    "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00.000000Z"}},
    "Role": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
    "ClusterRole": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
    "RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
    },
    "ClusterRoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "a"},
        "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
    },
    "Event": {
        "involvedObject": {"kind": "Task", "name": "a", "namespace": "default"},
        "regarding": {"kind": "Task", "name": "a", "namespace": "default"},
        "type": "Normal", "reason": "R", "message": "m", "note": "n",
    },
    "SelfSubjectAccessReview": {"spec": {"resourceAttributes": {"verb": "get", "resource": "tasks"}}},
    "SubjectAccessReview": {"spec": {"user": "u", "resourceAttributes": {"verb": "get",
    "resource": "tasks"}}},
    "TokenReview": {"spec": {"token": "a.b.c"}},
}  # fmt: skip
METADATA: dict[str, Any] = {
    "labels": {"a": "b"},
    "annotations": {"a/b": "c"},
    "finalizers": ["a.b/c"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u", "controller": True}],
    "generateName": "g-",
    "uid": "u",
    "resourceVersion": "1",
    "generation": 5,
    "creationTimestamp": None,
    "deletionTimestamp": "2026-01-01T00:00:00Z",
    "deletionGracePeriodSeconds": 1,
    "managedFields": [
        {
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"k:{": {}, "k:5": {}, "v:x": {}, ".": {}, "f:tools": {'k:{"name":"a"}': {}}}},
        }
    ],
    "selfLink": "/x",
    "unknown": {"x": 1},
}


def manifest(random: Random, served: Served, name: str, namespace: str) -> dict[str, Any]:
    """An object of a kind that a client may well send."""
    kind = served.kind
    meta: dict[str, Any] = {"name": name} | ({"namespace": namespace} if kind.namespaced and namespace else {})
    for key in random.sample(list(METADATA), random.choice((0, 0, 0, 1, 2))):
        meta[key] = METADATA[key]
    made = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}
    made |= json.loads(json.dumps(SPECS.get(kind.kind, {"spec": {"a": 1}})))
    if random.random() < 0.1:
        made["status"] = strange(random)
    return made


def strange(random: Random, depth: int = 0) -> Any:
    """Any value, now and then a large or deep one."""
    match random.randrange(14 if depth < 3 else 9):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2 | 3:
            return random.choice(NUMBERS)
        case 4 | 5 | 6 | 7 | 8:
            return random.choice(WORDS)
        case 9 | 10:
            return [strange(random, depth + 1) for _ in range(random.randrange(5))]
        case 11 | 12:
            return {random.choice(WORDS): strange(random, depth + 1) for _ in range(random.randrange(5))}
    return large(random)


def large(random: Random) -> Any:
    """A value whose size is its point."""
    many = random.choice((10, 300, 2000))
    match random.randrange(6):
        case 0:
            return "x" * many * 20
        case 1:
            return [random.choice(WORDS)] * many
        case 2:
            return {f"k{i}": random.choice(WORDS) for i in range(many)}
        case 3:
            return [{"name": f"t{i % 50}", "uid": f"u{i % 7}"} for i in range(many)]
        case 4:
            return nested(random.choice((150, 250, 700)))
    return {"k" * many: {f"k{i}": 1 for i in range(many)}}


def nested(levels: int) -> Any:
    """A value with so many levels."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def bent(random: Random, value: Any) -> Any:
    """The value with something strange somewhere in it."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        match random.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, random.choice(WORDS): strange(random)}
            case _:
                return {**value, key: bent(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], bent(random, value[at]), *value[at:]]
    return strange(random)


def as_json(random: Random, value: Any) -> bytes:
    """JSON of it; sometimes with what JSON libraries write and servers hate."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    body = text.encode(errors="surrogatepass")
    match random.randrange(30):
        case 0:
            return body.replace(b"1", random.choice((b"NaN", b"1e999", b"9" * 400, b"-", b"01")), 1)
        case 1:
            return body.replace(b'"metadata"', b'"kind": "Other", "metadata": {}, "metadata"', 1)
        case 2:
            return body[: random.randrange(len(body) + 1)]
        case 3:
            return body + random.choice((b"\n", b"x", b"{}", b"\x00"))
        case 4:
            at = random.randrange(len(body) + 1)
            return body[:at] + bytes([random.randrange(256)]) + body[at:]
        case 5:
            return random.choice((b"\xef\xbb\xbf", b" " * 1000, b"\xff\xfe")) + body
    return body


def as_yaml(random: Random, value: Any) -> bytes:
    """YAML: JSON is some; and what only YAML has."""
    body = as_json(random, value)
    match random.randrange(12):
        case 0:
            return b"a: &a " + body + b"\nb: [" + b",".join([b"*a"] * random.choice((2, 100, 5000))) + b"]"
        case 1:
            return b"<<: " + body + b"\n<<: [{a: 1}, {b: 2}]"
        case 2:
            return random.choice((b"[", b"- ", b"? ", b"{a: ", b"!!set ", b"&a *a", b"%TAG", b"|\n  ")) * 2000
        case 3:
            return body + b"\n---\n" + body
        case 4:
            return b"kind: !!binary x\nwhen: 2026-01-01\nn: 0o17\ny: on\nf: .inf\n? [a]\n: b\n"
        case 5:
            return body[1:-1].replace(b'", "', b'"\n"')
    return body
