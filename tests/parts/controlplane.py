"""The settings of the three programs that make a control plane: their flags, the audit policy, a kubeconfig.

tests/parts/apiserver.py calls it. Pure: it names files of the cluster's folder and writes none.
"""

import base64
from pathlib import Path
from typing import Any

CONTROLLERS = ("garbage-collector", "namespace", "serviceaccount", "clusterrole-aggregation")
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def etcd_flags(folder: Path, port: int, peer: int) -> list[str]:
    """etcd, alone and without fsync: nothing here outlives the test."""
    client, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        "etcd",
        "--name=one",
        f"--data-dir={folder}/etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=one={peers}",
    ]


def api_flags(folder: Path, etcd: int, port: int) -> list[str]:
    """kube-apiserver: a token file, RBAC, an audit log; no service account needed to store a pod."""
    return [
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}/certs",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/accounts.key",
        f"--service-account-signing-key-file={folder}/accounts.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
        f"--audit-policy-file={folder}/audit-policy.json",
        f"--audit-log-path={folder}/audit.log",
    ]


def controller_flags(folder: Path) -> list[str]:
    """kube-controller-manager: deletion of children and namespaces, and default service accounts."""
    return [
        "kube-controller-manager",
        f"--kubeconfig={folder}/kubeconfig",
        f"--controllers={','.join(f'{name}-controller' for name in CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def kubeconfig_of(url: str, ca: bytes, token: str) -> dict[str, Any]:
    """A kubeconfig of one user of one cluster; JSON is YAML, so every client reads it."""
    trusted = base64.b64encode(ca).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": trusted}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
