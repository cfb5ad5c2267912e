"""`kubechain operator`: the controllers of KubeChain on a Kubernetes cluster.

A command of `main`; what the Deployment in a cluster runs. Keeps nothing on disk; serves its health and metrics.
"""

from __future__ import annotations

from pathlib import Path

import click

from kubechain import logs
from kubechain.cli import options
from kubechain.cli.up import base_urls, free_port
from kubechain.errors import SettingsError

log = logs.Logger(__name__)
LOOPBACK = "127.0.0.1"
PORT = 8080
SHORTEST = 3
"""Seconds."""


@click.command("operator")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: $KUBECONFIG, else the pod's service account, else ~/.kube/config.",
)
@click.option("--context", default="", metavar="NAME", help="Context of the kubeconfig; default: the current one.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Watch only this namespace; default: all.")
@click.option(
    "--model",
    type=click.Choice(["scripted"]),
    help="scripted: a built-in model without a key answers LLMs that have no baseURL.",
)
@click.option(
    "--model-base-url",
    "urls",
    multiple=True,
    metavar="PROVIDER=URL",
    help="Base URL for the LLMs of a provider that have none; default: $OPENAI_BASE_URL, $ANTHROPIC_BASE_URL.",
)
@click.option(
    "--functions",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    help="Folder with Python modules that function tools may name. May be repeated.",
)
@click.option(
    "--tool-host",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="SOCKET",
    help="Where `kubechain tool-host SOCKET` connects, which then runs the tool processes; default: the operator "
    "runs them itself.",
)
@click.option(
    "--listen",
    "address",
    default="",
    metavar="ADDRESS:PORT",
    help="Address for /healthz, /readyz and /metrics; default 127.0.0.1:8080, or a free port if that is taken.",
)
@click.option("--replica", default="", metavar="NAME", help="Name of this replica; default: $POD_NAME.")
@click.option(
    "--lease-namespace",
    default="",
    metavar="NAME",
    help="Namespace of the Leases by which replicas find each other; default: -n, or that of the pod or context.",
)
@click.option(
    "--lease-duration",
    type=options.Duration(),
    default="12s",
    show_default=True,
    help="How long a replica that does not renew its Lease counts as alive.",
)
@click.option(
    "--drain",
    type=options.Duration(),
    default="20s",
    show_default=True,
    help="How long calls in progress may take to finish when the replica is stopped.",
)
@options.logging
def operator(
    kubeconfig: Path | None,
    context: str,
    namespace: str,
    model: str | None,
    urls: tuple[str, ...],
    functions: tuple[Path, ...],
    tool_host: Path | None,
    address: str,
    replica: str,
    lease_namespace: str,
    lease_duration: float,
    drain: float,
    log_level: str,
    log_format: str,
) -> None:
    """Run the controllers on a Kubernetes cluster.

    First install the kinds: `kubechain install --crds | kubectl apply --server-side -f -`.
    Ctrl-C or SIGTERM stops it. When it is started again, it continues where it stopped, also after a crash.

    \b
    kubechain operator                                   in a pod, or with the current kubeconfig context
    kubechain operator --context kind-kubechain --model scripted
    kubechain operator --namespace team-a                one namespace, with rights there alone
    """
    logs.configure(log_level, log_format)
    listen = _address(address) if address else _default_address()
    told = base_urls() | dict(_provider_url(text) for text in urls)
    from kubechain.app.operator import (
        OperatorSettings,  # the whole program: only the process that runs it needs it
    )
    from kubechain.app.settings import ProviderSettings
    from kubechain.cli.serve import operate
    from kubechain.cluster.target import ClusterSettings
    from kubechain.runtime.replicas.replica import ReplicaSettings, identity

    if lease_duration < SHORTEST:
        raise click.BadParameter(
            f"must be at least {SHORTEST} s, or busy replicas lose their Leases", param_hint="--lease-duration"
        )
    folders = tuple(_folder(folder, there=tool_host is not None) for folder in functions)
    settings = OperatorSettings(
        ClusterSettings(kubeconfig, context),
        namespace,
        ReplicaSettings(replica or identity(), lease_namespace, lease_duration, drain),
        listen,
        ProviderSettings(model or "", base_urls=told, functions=folders, tool_host=tool_host),
    )
    tell = _logged if log_format == "json" else options.complain
    where = f"namespace {namespace}" if namespace else "all namespaces"
    unfinished = operate(
        settings,
        lambda now: tell(
            f"KubeChain controls {where} of {now.url}. {now.model_line}.\n"
            f"Health and metrics: {_url(listen[0], now.port)}"
        ),
        drain,
        tell,
    )
    for one in unfinished:
        tell(f"Interrupted: {one}")
    tell("KubeChain stopped.")


def _folder(folder: Path, *, there: bool) -> Path:
    """A folder with functions. `there`: it is one of the tool host's container."""
    if not there and not folder.is_dir():
        raise click.BadParameter(f"Directory '{folder}' does not exist.", param_hint="--functions")
    return folder if there else folder.resolve()


def _logged(words: str) -> None:
    log.info(" ".join(words.split("\n")))


def _provider_url(text: str) -> tuple[str, str]:
    provider, _, url = text.partition("=")
    if not provider or not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{text!r} is not PROVIDER=URL, as in openai=http://localhost:8000/v1")
    return provider, url


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is not ADDRESS:PORT, as in 0.0.0.0:8080", param_hint="--listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _default_address() -> tuple[str, int]:
    """Loopback, with a free port if the default is taken by another operator on this machine."""
    try:
        free_port(PORT)
    except SettingsError:
        return LOOPBACK, 0
    return LOOPBACK, PORT


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
