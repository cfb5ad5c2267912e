"""The settings of what runs on the node: flags, users, and the files that the programs read.

inside.py writes and starts them. Pure: everything is below the node's folder, which is the argument.
"""

import json
from pathlib import Path
from typing import Any

ADDRESS = "10.88.0.1"
"""Of the node; pods reach it."""
SERVICES = "10.0.0.0/24"
PODS = "10.244.0.0/24"
API_PORT = 6443
MODEL_PORT = 8000
"""Where pods reach the model server of the tests, on ADDRESS."""
URL = f"https://localhost:{API_PORT}"
ETCD, ETCD_PEERS = 2379, 2380
CONTAINERD = "/run/containerd/containerd.sock"
USERS = {
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:node", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
    "router": ("system:kube-router", "system:masters"),
}
"""File -> user and group of its token."""


def api_flags(folder: Path) -> list[str]:
    """kube-apiserver as a cluster has it: the node authorizer, service accounts, the address that pods use."""
    return [
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ETCD}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={ADDRESS}",
        f"--cert-dir={folder}/certs",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/accounts.key",
        f"--service-account-signing-key-file={folder}/accounts.key",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def controller_flags(folder: Path) -> list[str]:
    """kube-controller-manager, all of it, and quick: by itself it asks twenty times a second."""
    return [
        "kube-controller-manager",
        f"--kubeconfig={folder}/controllers.kubeconfig",
        f"--service-account-private-key-file={folder}/accounts.key",
        f"--root-ca-file={folder}/certs/apiserver.crt",
        "--use-service-account-credentials=true",
        "--node-monitor-period=1s",
        *_alone(),
    ]


def scheduler_flags(folder: Path) -> list[str]:
    """kube-scheduler."""
    return ["kube-scheduler", f"--kubeconfig={folder}/scheduler.kubeconfig", *_alone()]


def kubelet_flags(folder: Path) -> list[str]:
    """kubelet."""
    return [
        "kubelet",
        f"--config={folder}/kubelet.json",
        f"--kubeconfig={folder}/kubelet.kubeconfig",
        f"--root-dir={folder}/kubelet",
        f"--cert-dir={folder}/kubelet/pki",
        "--hostname-override=node",
        f"--node-ip={ADDRESS}",
    ]


def proxy_flags(folder: Path) -> list[str]:
    """kube-proxy."""
    return ["kube-proxy", f"--config={folder}/kube-proxy.json", "--hostname-override=node"]


def router_flags(folder: Path) -> list[str]:
    """kube-router, as a firewall and nothing else."""
    off = ("router", "service-proxy", "loadbalancer")
    return [
        f"--kubeconfig={folder}/router.kubeconfig",
        "--hostname-override=node",
        "--run-firewall=true",
        *(f"--run-{name}=false" for name in off),
        "--enable-cni=false",
        f"--service-cluster-ip-range={SERVICES}",
    ]


def files(folder: Path, pause: str) -> dict[str, str]:
    """Path below the folder -> content."""
    return {
        "containerd.toml": _containerd(folder, pause),
        "cni/10-pods.conflist": json.dumps(_CNI),
        "kubelet.json": json.dumps(_kubelet(folder)),
        "kube-proxy.json": json.dumps(_proxy(folder)),
        "resolv.conf": "",
    }


def _alone() -> list[str]:
    return ["--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"]


def _containerd(folder: Path, pause: str) -> str:
    runc = '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc'
    unused = ("internal.v1.opt", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper")
    return f"""
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = {json.dumps([f"io.containerd.{name}" for name in unused])}
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE no process may lower its oom_score_adj, and runc ends when it is told to.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
{runc}]
runtime_type = "io.containerd.runc.v2"
{runc}.options]
SystemdCgroup = false
"""


def _kubelet(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "podLogsDir": "/var/log/pods",
        # Only the API server and the tests are in this network.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        # A full disk of the machine is not the node's business.
        "evictionHard": {
            "memory.available": "10Mi",
            **dict.fromkeys(
                ("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"), "0%"
            ),
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": False,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        # There is no DNS: names are refused at once.
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{folder}/resolv.conf",
        "shutdownGracePeriod": "0s",
    }


def _proxy(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{folder}/proxy.kubeconfig"},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "bindAddress": ADDRESS,
        "healthzBindAddress": "",
        # These settings of the kernel are the whole machine's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }


_CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
