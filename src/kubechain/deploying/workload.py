"""The operator's pods: as whom they run, how many, with what, and who may take them away.

Called by `manifests`. They run as nobody in particular, write to /tmp alone, and pass the Pod Security Standard
"restricted", which the namespace enforces. A pod has two containers: the operator's own, which alone has the token
of the service account, and that of the tools (`tools`), with another user and a filesystem of its own.
"""

from __future__ import annotations

from kubechain.deploying import tools
from kubechain.deploying.settings import PORT, InstallSettings
from kubechain.resources.json import JsonObject, JsonValue

CONTAINER = "operator"


def namespace(settings: InstallSettings) -> JsonObject:
    """Where the operator runs."""
    labels: JsonObject = {**settings.labels, "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace, "labels": labels}}


def service_account(settings: InstallSettings) -> JsonObject:
    """As whom it speaks to the API server; other pods that borrow the account get no token by themselves."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": settings.metadata(),
        "automountServiceAccountToken": False,
    }


def deployment(settings: InstallSettings) -> JsonObject:
    """The replicas; an update starts a new one before it takes an old one away."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": settings.metadata(),
        "spec": {
            "replicas": settings.replicas,
            "selector": {"matchLabels": settings.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": settings.labels}, "spec": _pod(settings)},
        },
    }


def disruption_budget(settings: InstallSettings) -> JsonObject:
    """A node that is drained takes one replica at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": settings.metadata(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": settings.selector}},
    }


def arguments(settings: InstallSettings) -> list[JsonValue]:
    """The words after `kubechain`."""
    words: list[JsonValue] = ["operator", f"--listen=0.0.0.0:{PORT}", f"--tool-host={tools.SOCKET}"]
    if settings.watch:
        # Its own namespace is named by reference, so that kustomize and others can move the whole.
        words.append(f"--namespace={'$(POD_NAMESPACE)' if settings.own_namespace else settings.watch}")
    for flag, value in (("--log-level", settings.log_level), ("--log-format", settings.log_format)):
        words += [f"{flag}={value}"] if value else []
    return [*words, *(f"--model-base-url={provider}={url}" for provider, url in sorted(settings.base_urls))]


def _pod(settings: InstallSettings) -> JsonObject:
    return {
        "serviceAccountName": settings.account.name,
        "automountServiceAccountToken": False,
        **_pull_secrets(settings),
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(settings), tools.container(settings)],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": settings.selector},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}, _token(), *tools.volumes()],
    }


def _pull_secrets(settings: InstallSettings) -> JsonObject:
    named: list[JsonValue] = [{"name": name} for name in settings.pull_secrets]
    return {"imagePullSecrets": named} if named else {}


def _token() -> JsonObject:
    """What a pod is given of its service account otherwise, in every container: here in one."""
    return {
        "name": "token",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                    }
                },
            ]
        },
    }


def _container(settings: InstallSettings) -> JsonObject:
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments(settings),
        "env": _environment(settings),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/healthz", every=2, failures=30),
        "livenessProbe": _probe("/healthz", every=10, failures=6),
        "readinessProbe": _probe("/readyz", every=5, failures=3),
        "resources": tools.resources(settings.requests, settings.limits),
        "securityContext": tools.confined(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
            {"name": "tool-host", "mountPath": tools.FOLDER},
        ],
    }


def _environment(settings: InstallSettings) -> list[JsonValue]:
    own: list[JsonValue] = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108
    ]
    return own + [{"name": name, "value": value} for name, value in settings.env]


def _probe(path: str, *, every: int, failures: int) -> JsonObject:
    """`every` in seconds."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
