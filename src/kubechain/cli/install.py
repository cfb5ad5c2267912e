"""`kubechain install`: prints what a cluster needs to run KubeChain, for `kubectl apply`.

A command of `main`. Only prints: it does not contact a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from kubechain import __version__, logs
from kubechain.cli import install_values as values

Pairs = tuple[tuple[str, str], ...]
OWN_VARIABLES = ("POD_NAME", "POD_NAMESPACE", "HOME")
"""Environment variables that an installation sets itself."""


@click.command("install")
@click.option("--crds", is_flag=True, help="The CustomResourceDefinitions of all kinds, and nothing else.")
@click.option("--samples", is_flag=True, help="The ready-made tools, and nothing else.")
@click.option(
    "--namespace",
    type=values.NAMESPACE,
    default="kubechain-system",
    show_default=True,
    metavar="NAME",
    help="Where the operator runs.",
)
@click.option(
    "--watch-namespace",
    "watch",
    type=values.NAMESPACE,
    metavar="NAME",
    help="Watch only this namespace, with rights in it only; default: all namespaces.",
)
@click.option(
    "--image",
    type=values.IMAGE_NAME,
    default=f"kubechain:{__version__}",
    show_default=True,
    metavar="IMAGE",
    help="Build it with `make image`, and push it to a registry that your nodes can pull from.",
)
@click.option(
    "--image-pull-secret",
    "pull_secrets",
    type=values.OBJECT,
    multiple=True,
    metavar="NAME",
    help="A Secret of the operator's namespace to pull the image with. May be repeated.",
)
@click.option("--replicas", type=click.IntRange(0), default=2, show_default=True, help="Number of operators.")
@click.option(
    "--secret",
    "secrets",
    type=values.SECRET,
    multiple=True,
    metavar="NAMESPACE/NAME",
    help="A Secret that the operator may read: LLMs and tools name them. May be repeated.",
)
@click.option(
    "--model-base-url",
    "base_urls",
    type=values.BASE_URL,
    multiple=True,
    metavar="PROVIDER=URL",
    help="Base URL for the LLMs of a provider that have none. May be repeated.",
)
@click.option(
    "--env",
    type=values.ENVIRONMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="An environment variable of the operator, such as HTTPS_PROXY. May be repeated.",
)
@click.option(
    "--request",
    "requests",
    type=values.RESOURCE,
    multiple=True,
    metavar="NAME=QUANTITY",
    default=[("cpu", "100m"), ("memory", "256Mi")],
    help="What each operator asks for; default: cpu=100m and memory=256Mi. May be repeated.",
)
@click.option(
    "--limit",
    "limits",
    type=values.RESOURCE,
    multiple=True,
    metavar="NAME=QUANTITY",
    default=[("memory", "1Gi")],
    help="What each operator may use; default: memory=1Gi. May be repeated.",
)
@click.option(
    "--tools-image",
    type=values.IMAGE_NAME,
    help="Image of the container that runs functions and MCP servers, with kubechain in it; default: --image.",
)
@click.option(
    "--tool-request",
    "tool_requests",
    type=values.RESOURCE,
    multiple=True,
    metavar="NAME=QUANTITY",
    default=[("cpu", "50m"), ("memory", "128Mi")],
    help="What that container asks for; default: cpu=50m and memory=128Mi. May be repeated.",
)
@click.option(
    "--tool-limit",
    "tool_limits",
    type=values.RESOURCE,
    multiple=True,
    metavar="NAME=QUANTITY",
    default=[("memory", "1Gi")],
    help="What that container may use; default: memory=1Gi. May be repeated.",
)
@click.option("--containers", is_flag=True, help="Let the operator run container tools, as Jobs.")
@click.option(
    "--mcp-pods",
    is_flag=True,
    help="Let MCP servers have pods of their own (`run: Pod`): the operator gets rights on pods.",
)
@click.option(
    "--log-level", type=click.Choice(logs.LEVELS), help="What the operator logs at least; default: info."
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), help="How the operator logs; default: text.")
@click.option(
    "--service-account",
    type=values.OBJECT,
    metavar="NAME",
    help="An existing ServiceAccount of the operator's namespace to run as; default: one is created.",
)
def install(
    crds: bool,
    samples: bool,
    namespace: str,
    watch: str | None,
    image: str,
    pull_secrets: tuple[str, ...],
    replicas: int,
    secrets: Pairs,
    base_urls: Pairs,
    env: Pairs,
    requests: Pairs,
    limits: Pairs,
    tools_image: str | None,
    tool_requests: Pairs,
    tool_limits: Pairs,
    containers: bool,
    mcp_pods: bool,
    log_level: str | None,
    log_format: str | None,
    service_account: str | None,
) -> None:
    """Print what a cluster needs to run KubeChain, as YAML.

    The output has the kinds, the operator's rights, its Deployment and the objects that it needs. Apply it again
    to upgrade. The operator reads only the Secrets that you name.

    \b
    kubechain install --secret default/openai | kubectl apply --server-side -f -
    kubechain install --namespace team-a --watch-namespace team-a --secret team-a/openai
    kubechain install --crds | kubectl apply --server-side -f -
    kubechain install --samples | kubectl apply --namespace team-a -f -
    """
    from kubechain.deploying import manifests
    from kubechain.deploying.settings import InstallSettings
    from kubechain.samples import manifests as ready_made

    if crds and samples:
        raise click.UsageError("--crds and --samples: the kinds must be there before an object of them is applied")
    _check(
        watch or "",
        secrets,
        {
            "--model-base-url": base_urls,
            "--env": env,
            "--request": requests,
            "--limit": limits,
            "--tool-request": tool_requests,
            "--tool-limit": tool_limits,
        },
    )
    settings = InstallSettings(
        namespace=namespace,
        watch=watch or "",
        image=image,
        replicas=replicas,
        secrets=secrets,
        service_account=service_account or "",
        pull_secrets=pull_secrets,
        base_urls=base_urls,
        env=env,
        requests=requests,
        limits=limits,
        tools_image=tools_image or "",
        tool_requests=tool_requests,
        tool_limits=tool_limits,
        containers=containers,
        mcp_pods=mcp_pods,
        log_level=log_level or "",
        log_format=log_format or "",
    )
    if crds:
        objects = manifests.crds()
    elif samples:
        objects = ready_made("")
    else:
        objects = manifests.everything(settings)
    click.echo(manifests.document(objects), nl=False)


def _check(watch: str, secrets: Pairs, named: Mapping[str, Pairs]) -> None:
    """Checks values against each other: Secrets in other namespaces, names that are set twice.

    Raises click.BadParameter.
    """
    if stray := [f"{where}/{name}" for where, name in secrets if watch and where != watch]:
        raise click.BadParameter(
            f"{stray[0]} is not in {watch}, the only namespace that it watches", param_hint="--secret"
        )
    for option, pairs in named.items():
        names = [name for name, _ in pairs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise click.BadParameter(f"{twice[0]} is set twice", param_hint=option)
        if option == "--env" and (own := {*names} & {*OWN_VARIABLES}):
            raise click.BadParameter(f"the installation sets {min(own)} itself", param_hint=option)
