"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager.

Contract tests run the same questions against it and against our own server; bench and the stories of
cluster mode use it too. By hand: `python -m tests.parts.apiserver` builds the program, and with the
name of a kubeconfig to write it also serves until it is interrupted. It has no nodes, no scheduler
and no kubelet: pods are stored and never run.
"""

import asyncio
import contextlib
import json
import os
import secrets
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.cache import PartMissing, announce, run
from tests.parts.controlplane import AUDIT, api_flags, controller_flags, etcd_flags, kubeconfig_of
from tests.parts.golang import build, built
from tests.parts.process import Process, accepts, free_ports, until_interrupted

SOURCE = Path(__file__).parent / "kubernetes"
VERSION = "v1.36.3"
STAMP = {
    "k8s.io/component-base/version.gitVersion": VERSION,
    "k8s.io/component-base/version.gitMajor": "1",
    "k8s.io/component-base/version.gitMinor": "36",
    "k8s.io/component-base/version.gitTreeState": "clean",
    "k8s.io/component-base/version.buildDate": "2026-01-01T00:00:00Z",
}


def binary() -> Path:
    """The program of tests/parts/kubernetes: $KUBECHAIN_APISERVER, else built once into the cache."""
    return supplied() or build(SOURCE, STAMP)


def installed() -> Path:
    """The same program, but never built: PartMissing where it is not there yet."""
    program = supplied() or built(SOURCE, STAMP)
    if program is None:
        raise PartMissing("no Kubernetes here: `python -m tests.parts.apiserver` builds it once, in minutes")
    return program


def supplied() -> Path | None:
    """The program that the environment names, if it names one."""
    own = os.environ.get("KUBECHAIN_APISERVER")
    if own and not Path(own).is_file():
        raise PartMissing(f"KUBECHAIN_APISERVER={own} is no file: unset it, and the program is built with Go")
    return Path(own) if own else None


class Cluster:
    """`async with Cluster() as cluster:` - an empty cluster in a temporary folder, gone afterwards.

    It takes seconds, since it never builds: PartMissing where the program is not there yet.
    `url`, `token` (of a member of system:masters), `ca` (PEM file), `kubeconfig` (file) and `audit()`
    are for its clients. `options` are further flags of kube-apiserver.
    """

    def __init__(self, *options: str) -> None:
        self.options = options
        self.token = secrets.token_urlsafe(24)
        self.url = ""

    async def __aenter__(self) -> Self:
        program = await asyncio.to_thread(installed)
        async with contextlib.AsyncExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-")))
            self._stack = stack
            etcd, peer, port = free_ports(3)
            self.url = f"https://127.0.0.1:{port}"
            await asyncio.to_thread(self._write_files, program)
            await self._start(program, etcd_flags(self.folder, etcd, peer), lambda: accepts(etcd))
            await self._start(program, [*api_flags(self.folder, etcd, port), *self.options], self._is_ready)
            self._write_kubeconfig()
            await self._start(program, controller_flags(self.folder), self._has_default_account)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def ca(self) -> Path:
        """The certificates to trust, in PEM."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of the administrator."""
        return self.folder / "kubeconfig"

    def audit(self) -> list[dict[str, Any]]:
        """Every request answered so far: verb, user.username, objectRef, responseStatus.code, requestURI."""
        return [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]

    async def _start(self, program: Path, argv: list[str], answers: Callable[[], Awaitable[bool]]) -> None:
        process = await Process.start(argv[0], [program, *argv], self.folder / f"{argv[0]}.log")
        self._stack.push_async_callback(process.stop)
        await process.ready(answers)

    async def _is_ready(self) -> bool:
        return await asyncio.to_thread(self._get, "/readyz") is not None

    async def _has_default_account(self) -> bool:
        """True when the controllers work: the namespace `default` has been given its service account."""
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        return await asyncio.to_thread(self._get, account) is not None

    def _get(self, path: str) -> bytes | None:
        """The body of a good answer; None while there is none."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310
        try:
            trust = ssl.create_default_context(cafile=str(self.ca))
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:  # noqa: S310
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return None

    def _write_files(self, program: Path) -> None:
        files = {
            "tokens.csv": f'{self.token},admin,admin,"system:masters"\n',
            "accounts.key": run([program, "key"], timeout=60),
            "audit-policy.json": json.dumps(AUDIT),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def _write_kubeconfig(self) -> None:
        text = json.dumps(kubeconfig_of(self.url, self.ca.read_bytes(), self.token), indent=2)
        self.kubeconfig.write_text(text)
        self.kubeconfig.chmod(0o600)


async def serve(kubeconfig: Path) -> None:
    """Serve until interrupted, with a copy of the kubeconfig at a place of the caller's choice."""
    async with Cluster() as cluster:
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(cluster.kubeconfig.read_text())
        announce(f"Kubernetes {VERSION} answers: kubectl --kubeconfig {kubeconfig} get namespaces")
        announce(f"logs and audit.log are in {cluster.folder}")
        await until_interrupted()


if __name__ == "__main__":
    announce(f"Kubernetes {VERSION}: {binary()}")
    for wanted in sys.argv[1:]:
        asyncio.run(serve(Path(wanted)))
