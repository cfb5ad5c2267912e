"""Who may do what in a cluster: the rights of the operator, verb by verb, and roles for people.

Pure: manifests as JSON, for `kubechain install`, the chart and the tests that start the operator with these rights
and no others. A verb stands here because a request of the operator needs it; a test takes each away once.
Secrets are granted by name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from kubechain.resources.agent import AGENTS
from kubechain.resources.builtin import EVENTS, LEASES, SECRETS
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.mcpserver import MCP_SERVERS
from kubechain.resources.registry import OURS
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.resources.toolresult import TOOL_RESULTS
from kubechain.resources.workloads import JOBS, NETWORK_POLICIES, PODS

API = "rbac.authorization.k8s.io"
LABELS: JsonObject = {"app.kubernetes.io/name": "kubechain"}
Kinds = Sequence[Kind[Any]]

RECONCILED: Kinds = (LLMS, AGENTS, TOOLS, MCP_SERVERS, TASKS, TASK_RUNS, TOOL_CALLS)
"""Kinds that are watched, and whose status is written."""
KEPT: Kinds = (TOOL_RESULTS, TRANSCRIPT_SEGMENTS)
"""Kinds that are made once and read back."""
RUNS_PROGRAMS: Kinds = (TOOLS, MCP_SERVERS)
"""Who writes these decides which programs run: in the operator's pod, and in Jobs and pods that it makes."""
WRITTEN_BY_PEOPLE: Kinds = (LLMS, AGENTS, TASKS, TASK_RUNS)
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")


class Account(Struct, frozen=True):
    """The ServiceAccount that the operator runs as. The names of its roles begin with `roles`, or with its own."""

    namespace: str
    name: str = "kubechain"
    roles: str = ""

    @property
    def role(self) -> str:
        return self.roles or self.name


def operator_rules() -> list[JsonObject]:
    """What the operator does in the namespaces that it looks after, beside reading named Secrets."""
    return [
        _rule(RECONCILED, "list", "watch"),
        _rule((TASK_RUNS, TOOL_CALLS, *KEPT), "get"),
        _rule((TASK_RUNS, TOOL_CALLS, *KEPT), "create"),
        _rule(RECONCILED, "update", subresource="status"),
        # Children block the deletion of their owner; a cluster may ask for this right of whoever says so.
        _rule((TASK_RUNS, TOOL_CALLS), "update", subresource="finalizers"),
        _rule((EVENTS,), "create"),
    ]


def operator(account: Account, namespace: str = "") -> list[JsonObject]:
    """The rights of the operator in all namespaces, or in one."""
    return _granted(account.role, namespace, operator_rules(), account)


def container_rules() -> list[JsonObject]:
    """What container tools need beside: Jobs, their pods, what pods printed, and the policy for no network."""
    return [
        _rule((JOBS,), *READ, "create", "delete"),
        _rule((PODS,), "list", "watch"),
        _rule((PODS,), "get", subresource="log"),
        _rule((NETWORK_POLICIES,), "get", "create"),
    ]


def containers(account: Account, namespace: str = "") -> list[JsonObject]:
    """The rights for container tools in all namespaces, or in one."""
    return _granted(f"{account.role}-containers", namespace, container_rules(), account)


def replicas(account: Account, namespace: str = "") -> list[JsonObject]:
    """What replicas need to agree among themselves: Leases.

    They are in the one namespace that is looked after, so that whoever looks after the same one finds the others;
    in the account's own where that is all of them.
    """
    rules = [_rule((LEASES,), *READ, "create", "update", "delete")]
    return _granted(f"{account.role}-replicas", namespace or account.namespace, rules, account)


def pods(account: Account, namespace: str = "") -> list[JsonObject]:
    """What MCP servers with `run: Pod` need: pods, and to talk to them. Only where they are used."""
    rules: list[JsonObject] = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch", "create", "delete"]},
        # A server may ask for either verb of whoever opens a websocket.
        {"apiGroups": [""], "resources": ["pods/attach"], "verbs": ["get", "create"]},
    ]
    return _granted(f"{account.role}-pods", namespace, rules, account)


def secrets(account: Account, named: Iterable[tuple[str, str]]) -> list[JsonObject]:
    """The right to read these Secrets, each a namespace and a name: a Role and its binding in every namespace."""
    names: dict[str, set[str]] = {}
    for namespace, name in named:
        names.setdefault(namespace, set()).add(name)
    manifests: list[JsonObject] = []
    for namespace in sorted(names):
        rule = _rule((SECRETS,), "list", "watch") | {"resourceNames": [*sorted(names[namespace])]}
        manifests += _granted(f"{account.role}-secrets", namespace, [rule], account)
    return manifests


def people() -> list[JsonObject]:
    """ClusterRoles for people: viewer, editor and approver go into the cluster's own, admin is bound by hand."""
    read, settle = _rule(OURS, *READ), _rule((TOOL_CALLS,), "get", "update", "patch", subresource="status")
    return [
        _people_role("viewer", "view", read),
        _people_role("editor", "edit", read, _rule(WRITTEN_BY_PEOPLE, *WRITE)),
        # An editor starts runs; that somebody else settles what they wait for is the point of it.
        _people_role("approver", "admin", read, settle),
        # Not aggregated: Tools and MCPServers run programs (see RUNS_PROGRAMS).
        _people_role("admin", "", _rule(OURS, *READ, *WRITE), settle),
    ]


def _rule(kinds: Kinds, *verbs: str, subresource: str = "") -> JsonObject:
    """Verbs on kinds of one group."""
    suffix = f"/{subresource}" if subresource else ""
    (group,) = {kind.group for kind in kinds}
    return {
        "apiGroups": [group],
        "resources": [f"{kind.plural}{suffix}" for kind in kinds],
        "verbs": [*verbs],
    }


def _people_role(name: str, into: str, *rules: JsonObject) -> JsonObject:
    labels = {**LABELS, f"{API}/aggregate-to-{into}": "true"} if into else {**LABELS}
    return _role(f"kubechain-{name}", "", rules, labels)


def _granted(name: str, namespace: str, rules: Iterable[JsonObject], account: Account) -> list[JsonObject]:
    """A role and its binding to the account: in one namespace, or everywhere for ""."""
    kind = "Role" if namespace else "ClusterRole"
    binding: JsonObject = {
        "apiVersion": f"{API}/v1",
        "kind": f"{kind}Binding",
        "metadata": _metadata(name, namespace, LABELS),
        "roleRef": {"apiGroup": API, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
    }
    return [_role(name, namespace, rules, LABELS), binding]


def _role(name: str, namespace: str, rules: Iterable[JsonObject], labels: JsonObject) -> JsonObject:
    return {
        "apiVersion": f"{API}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": _metadata(name, namespace, labels),
        "rules": [*rules],
    }


def _metadata(name: str, namespace: str, labels: JsonObject) -> JsonObject:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {**labels}}
