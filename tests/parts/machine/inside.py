"""The first process inside the node's namespaces: mounts, network, programs. When it ends, all of them end.

outside.py starts it: `python -m tests.parts.machine.inside FOLDER KUBERNETES ROUTER CONTROLLERS`. It writes
FOLDER/ready once pods can be scheduled, and tells on its output how far it is.
"""

import json
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.parts.controlplane import etcd_flags, kubeconfig_of
from tests.parts.machine import settings
from tests.parts.machine.images import PAUSE

SECONDS = 90.0
RETRY_SECONDS = 0.05
SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings of the whole machine that a kubelet writes."""


class Node:
    """The programs of one node, and what they need around them."""

    def __init__(self, folder: Path, kubernetes: Path, router: Path) -> None:
        self.folder = folder
        self.kubernetes = kubernetes
        self.router = router
        self.began = time.monotonic()
        self.running: dict[int, str] = {}
        self.tokens = {name: secrets.token_urlsafe(24) for name in settings.USERS}

    def log(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s  {text}", flush=True)

    def mount(self, controllers: list[str]) -> None:
        """Mounts of our own, shared with what is below us, as a kubelet wants it."""
        command("mount", "--make-rshared", "/")
        command("mount", "-t", "sysfs", "sysfs", "/sys")
        command("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", "/sys/fs/cgroup")
        for name in controllers:
            place = Path("/sys/fs/cgroup", name)
            place.mkdir()
            option = "none,name=systemd" if name == "systemd" else name
            command("mount", "-t", "cgroup", "-o", option, "cgroup", str(place))
        command("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
        for name in ("log", "lib"):
            command("mount", "--bind", str(self.folder / name), f"/var/{name}")
        command("mount", "-t", "tmpfs", "-o", "mode=711", "containerd", str(self.folder / "containerd"))
        Path("/run/lock").mkdir()
        Path("/run/sysctl").mkdir()
        for name in SYSCTLS:
            own = Path("/run/sysctl", name.replace("/", "."))
            own.write_text(Path("/proc/sys", name).read_text())
            command("mount", "--bind", str(own), f"/proc/sys/{name}")

    def connect(self) -> None:
        """An address that pods reach, and a route for the addresses of Services."""
        command("hostname", "node")
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "node0", "type", "bridge")
        command("ip", "address", "add", f"{settings.ADDRESS}/24", "dev", "node0")
        command("ip", "link", "set", "node0", "up")
        command("ip", "route", "add", "default", "dev", "node0")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def write_files(self) -> None:
        """Settings, and a token for every user."""
        for path, text in settings.files(self.folder, PAUSE).items():
            place = self.folder / path
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        users = settings.USERS.items()
        lines = [f'{self.tokens[name]},{user},{name},"{group}"\n' for name, (user, group) in users]
        (self.folder / "tokens.csv").write_text("".join(lines))
        key = subprocess.run([self.kubernetes, "key"], capture_output=True, check=True, timeout=60).stdout
        (self.folder / "accounts.key").write_bytes(key)

    def write_kubeconfigs(self) -> None:
        authority = (self.folder / "certs" / "apiserver.crt").read_bytes()
        for name, token in self.tokens.items():
            config = kubeconfig_of(settings.URL, authority, token)
            (self.folder / f"{name}.kubeconfig").write_text(json.dumps(config))

    def start(self, name: str, *argv: str | Path) -> None:
        """A program with a log of its own; without it the node ends."""
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running[process.pid] = name
        process.returncode = 0  # it is reaped by `watch`, as everything is

    def run(self) -> None:
        """Starts everything in the order in which it is needed; returns when pods can be scheduled."""
        kubernetes, folder = self.kubernetes, self.folder
        self.start("containerd", "containerd", "--config", folder / "containerd.toml")
        self.start("etcd", kubernetes, *etcd_flags(folder, settings.ETCD, settings.ETCD_PEERS))
        self.start("kube-apiserver", kubernetes, *settings.api_flags(folder))
        api = f"TCP:127.0.0.1:{settings.API_PORT}"
        model = f"TCP-LISTEN:{settings.MODEL_PORT},bind={settings.ADDRESS},fork,reuseaddr"
        self.start("forward-api", "socat", f"UNIX-LISTEN:{folder}/api.sock,fork", api)
        self.start("forward-model", "socat", model, f"UNIX-CONNECT:{folder}/model.sock")
        self.until("containerd", Path(settings.CONTAINERD).exists)
        images = threading.Thread(target=self.load_images)
        images.start()
        self.until("kube-apiserver", lambda: self.ask("/readyz") is not None)
        self.log("the API server is ready")
        self.write_kubeconfigs()
        self.start("kube-controller-manager", kubernetes, *settings.controller_flags(folder))
        self.start("kube-scheduler", kubernetes, *settings.scheduler_flags(folder))
        self.start("kubelet", kubernetes, *settings.kubelet_flags(folder))
        self.start("kube-proxy", kubernetes, *settings.proxy_flags(folder))
        self.until("the node", self.takes_pods)
        self.log("the node is Ready")
        pods = {"spec": {"podCIDR": settings.PODS, "podCIDRs": [settings.PODS]}}
        self.until("the range of pods", lambda: self.ask("/api/v1/nodes/node", pods) is not None)
        self.start("kube-router", self.router, *settings.router_flags(folder))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.until("the first service account", lambda: self.ask(account) is not None)
        images.join()
        self.log("images are loaded")

    def load_images(self) -> None:
        for image in sorted((self.folder / "images").iterdir()):
            command("ctr", "--namespace", "k8s.io", "images", "import", str(image))

    def takes_pods(self) -> bool:
        node = json.loads(self.ask("/api/v1/nodes/node") or b"{}")
        conditions = node.get("status", {}).get("conditions", ())
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready and not node["spec"].get("taints")

    def ask(self, path: str, patch: object = None) -> bytes | None:
        """The body of a good answer of the API server; None while there is none."""
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        data = None if patch is None else json.dumps(patch).encode()
        if data is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        request = urllib.request.Request(  # noqa: S310
            settings.URL + path, data, headers, method="GET" if data is None else "PATCH"
        )
        try:
            trust = ssl.create_default_context(cafile=str(self.folder / "certs" / "apiserver.crt"))
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:  # noqa: S310
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return None

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Returns when it holds; the node ends if a program ends before, or after SECONDS."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"gave up waiting for {what}")
            time.sleep(RETRY_SECONDS)

    def check(self) -> None:
        """Ends the node where one of its programs has ended."""
        for pid, name in self.running.items():
            stat = Path(f"/proc/{pid}/stat")
            if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
                self.ended(name)

    def watch(self) -> None:
        """Reaps what ends, for ever; ends with the first of the node's own programs."""
        while True:
            pid, _ = os.wait()
            if pid in self.running:
                self.ended(self.running[pid])

    def ended(self, name: str) -> None:
        last = (self.folder / "log" / f"{name}.log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{name} ended:\n{last}")


def command(*words: str) -> None:
    """A command that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"`{' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")


def main(folder: Path, kubernetes: Path, router: Path, controllers: list[str]) -> None:
    """The node's whole life."""
    node = Node(folder, kubernetes, router)
    node.mount(controllers)
    node.connect()
    node.write_files()
    node.run()
    (folder / "ready").touch()
    node.watch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4].split(","))
