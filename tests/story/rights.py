"""The operator over a real Kubernetes with the rights that the manifests grant, or with fewer.

For tests/story/test_rights.py: service accounts and their tokens, rules taken apart into single rights, the audit
log of what an account asked for, and what the operator logs when something is refused.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import structlog
import yaml
from msgspec.structs import replace

from kubechain.app.operator import OperatorSettings
from kubechain.app.operator import operator as run_operator
from kubechain.app.settings import ProviderSettings
from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.deploying.manifests import rights as rights_of
from kubechain.deploying.rbac import Account
from kubechain.deploying.settings import InstallSettings
from kubechain.resources.builtin import (
    BUILTIN,
    SERVICE_ACCOUNTS,
)
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.registry import OURS
from kubechain.runtime.replicas.replica import ReplicaSettings
from tests.kubernetes import Kubernetes
from tests.story.program import SECONDS, Place, Story
from tests.world import kubectl_command, said

KINDS = {kind.kind: kind.raw for kind in (*OURS, *BUILTIN)}
ACCESS_REVIEWS: Kind[bytes] = Kind(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", bytes, namespaced=False
)


class Right(NamedTuple):
    """One verb on one resource (`toolcalls/status`) of one group."""

    verb: str
    resource: str
    group: str


def rights(manifests: Iterable[JsonObject]) -> list[Right]:
    """Every single right that the roles among the manifests grant."""
    return [
        Right(verb, resource, group)
        for manifest in manifests
        for rule in _rules(manifest)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(manifests: Iterable[JsonObject], right: Right) -> list[JsonObject]:
    """The manifests with one right less."""
    kept: list[JsonObject] = []
    for manifest in manifests:
        rules: list[Any] = [
            {**rule, "resources": [resource], "verbs": [v for v in rule["verbs"] if (v, resource) != right[:2]]}
            for rule in _rules(manifest)
            for resource in rule["resources"]
        ]
        kept.append({**manifest, "rules": [r for r in rules if r["verbs"]]} if rules else manifest)
    return kept


def _rules(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(manifest.get("rules", ()))


def _meta(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", manifest["metadata"])


@dataclass(frozen=True)
class Guarded:
    """A namespace that an operator looks after from another one, as `account`; `home` holds its kubeconfig."""

    kubernetes: Kubernetes
    admin: RemoteApi
    place: Place
    account: Account
    home: Path

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.account.namespace}:{self.account.name}"

    async def grant(self, manifests: Iterable[JsonObject]) -> None:
        """Has an administrator create them; what roles among them allow is allowed when this returns."""
        made: dict[tuple[Any, Any], JsonObject] = {}
        for manifest in manifests:
            await self.admin.create(KINDS[str(manifest["kind"])], msgspec.json.encode(manifest))
            made[manifest["kind"], _meta(manifest).get("name")] = manifest
        for manifest in made.values():
            match manifest.get("roleRef"):
                case {"kind": kind, "name": name} if rules := _rules(made.get((kind, name), {})):
                    await self.until(rules[0], _meta(manifest).get("namespace", ""), allowed=True)

    async def until(self, rule: Mapping[str, Any], namespace: str, *, allowed: bool) -> None:
        """Returns once the server's authorizer, which watches roles like anybody, has it that way."""
        resource, _, subresource = rule["resources"][0].partition("/")
        attributes = {
            "namespace": namespace,
            "verb": rule["verbs"][0],
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": subresource,
            "name": next(iter(rule.get("resourceNames", ())), ""),
        }
        review = msgspec.json.encode(
            {"metadata": {}, "spec": {"user": self.user, "resourceAttributes": attributes}}
        )
        async with asyncio.timeout(SECONDS):
            while True:
                answer = await self.admin.create(ACCESS_REVIEWS, review)
                if msgspec.json.decode(answer)["status"]["allowed"] is allowed:
                    return

    async def create(self, *texts: str) -> None:
        """Has an administrator create what the YAML says, in the namespace of the test."""
        for manifest in yaml.safe_load_all("\n---\n".join(texts)):
            manifest["metadata"]["namespace"] = self.place.namespace
            await self.grant([manifest])

    async def enter(self) -> None:
        """Makes the account, and a kubeconfig with a token of it."""
        meta: JsonObject = {"name": self.account.name, "namespace": self.account.namespace}
        await self.admin.create(SERVICE_ACCOUNTS.raw, msgspec.json.encode({"metadata": meta}))
        token = await self.kubectl("create", "token", self.account.name, "-n", self.account.namespace)
        config = json.loads(self.place.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token.strip()}
        config["contexts"][0]["context"]["namespace"] = self.account.namespace
        (self.home / "operator").write_text(json.dumps(config))

    async def kubectl(self, *words: str, stdin: str = "") -> str:
        """The output of an administrator's kubectl, which must succeed."""
        command, environment = kubectl_command(
            *words, version="1.32", kubeconfig=self.place.kubeconfig, home=self.home
        )
        done = await said(command, environment, stdin)
        assert done.code == 0, f"kubectl {' '.join(words)}: {done.err}"
        return done.out

    @asynccontextmanager
    async def operator(self, namespace: str, **settings: Any) -> AsyncIterator[Story]:
        """The operator as its account; the story speaks to the cluster as an administrator."""
        chosen = {"model": "scripted", **settings}
        cluster = ClusterSettings(self.home / "operator")
        replica = ReplicaSettings(drain=0.0)  # a tool that never returns is cut off
        told = OperatorSettings(cluster, namespace, replica, providers=ProviderSettings(**chosen))
        async with run_operator(told) as program:
            running = replace(program.running, kubeconfig=self.place.kubeconfig)
            yield Story(replace(program, running=running, api=self.admin), self.home, self.place.namespace)

    def asked(self) -> tuple[set[Right], set[Right]]:
        """What the account was allowed so far, and what it was refused, in its namespace and the account's own."""
        assert self.kubernetes.audit is not None
        allowed: set[Right] = set()
        refused: set[Right] = set()
        for line in self.kubernetes.audit.read_text().splitlines():
            event = json.loads(line)
            what = event.get("objectRef")
            if event["user"]["username"] != self.user or not what or "resource" not in what:
                continue
            if what.get("namespace", self.place.namespace) not in (self.place.namespace, self.account.namespace):
                continue
            subresource = f"/{what['subresource']}" if "subresource" in what else ""
            right = Right(event["verb"], what["resource"] + subresource, what.get("apiGroup", ""))
            (refused if event["responseStatus"]["code"] == 403 else allowed).add(right)
        return allowed, refused


@asynccontextmanager
async def guarded(kubernetes: Kubernetes, place: Place, home: Path) -> AsyncIterator[Guarded]:
    """An account of its own for the place, without any right yet."""
    async with connect(ClusterSettings(kubernetes.kubeconfig)) as admin:
        made = Guarded(kubernetes, admin, place, Account("default", f"operator-of-{place.namespace}"), home)
        await made.enter()
        yield made


class Reports:
    """What the operator of this process logs."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        self._lines.append(" ".join(map(str, event.values())))
        self._news.set()
        raise structlog.DropEvent

    async def one_with(self, *words: str) -> None:
        """Returns once there is a report with these words in it; fails after SECONDS."""
        try:
            async with asyncio.timeout(SECONDS):
                while not any(all(word in line for word in words) for line in self._lines):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"nobody reported {words}, but {self._lines}") from None


@contextmanager
def reports() -> Iterator[Reports]:
    """Listens to the log while the block lasts."""
    before, heard = structlog.get_config(), Reports()
    structlog.configure(processors=[heard])
    try:
        yield heard
    finally:
        structlog.configure(**before)


def secret(name: str, value: str) -> str:
    """The manifest of a Secret with an API key."""
    data = {"OPENAI_API_KEY": base64.b64encode(value.encode()).decode()}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})


def granted(account: Account, namespace: str, *, everywhere: bool = False) -> list[JsonObject]:
    """What `kubechain install` grants the account: in a namespace or in all of them, and one Secret there."""
    watch = "" if everywhere else namespace
    return rights_of(
        InstallSettings(account.namespace, watch, secrets=((namespace, "openai"),), name=account.name)
    )
