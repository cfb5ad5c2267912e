"""`kubechain install`: prints what a cluster needs to run KubeChain, for `kubectl apply`.

A command of `main`. Prints and does nothing else: no cluster is asked or changed.
"""

from __future__ import annotations

import re

import click

from kubechain import __version__

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Namespace(click.ParamType[str]):
    """The name of a namespace."""

    name = "namespace"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text and not _LABEL.fullmatch(text):
            self.fail(
                f"{text!r} is no name of a namespace: lower case, digits and '-', 63 at the most", param, ctx
            )
        return text


class SecretName(click.ParamType[tuple[str, str]]):
    """`NAMESPACE/NAME` -> both."""

    name = "secret"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        namespace, _, name = str(value).partition("/")
        if not _LABEL.fullmatch(namespace) or not _NAME.fullmatch(name):
            self.fail(f"{value!r} is not NAMESPACE/NAME, as in default/openai", param, ctx)
        return namespace, name


@click.command("install")
@click.option("--crds", is_flag=True, help="The CustomResourceDefinitions of all kinds, and nothing else.")
@click.option(
    "--namespace",
    type=Namespace(),
    default="kubechain-system",
    show_default=True,
    metavar="NAME",
    help="Where the operator runs.",
)
@click.option(
    "--watch-namespace",
    "watch",
    type=Namespace(),
    default="",
    metavar="NAME",
    help="The one namespace that it looks after, with rights there alone; default: all.",
)
@click.option(
    "--image",
    default=f"kubechain:{__version__}",
    show_default=True,
    metavar="IMAGE",
    help="`make image` makes it; push it where your nodes pull from.",
)
@click.option("--replicas", type=click.IntRange(0), default=2, show_default=True, help="How many operators.")
@click.option(
    "--secret",
    "secrets",
    type=SecretName(),
    multiple=True,
    metavar="NAMESPACE/NAME",
    help="A Secret that the operator may read: LLMs and tools name them. May be repeated.",
)
def install(
    crds: bool, namespace: str, watch: str, image: str, replicas: int, secrets: tuple[tuple[str, str], ...]
) -> None:
    """Print what a cluster needs to run KubeChain, as YAML.

    The kinds, the operator's rights, its Deployment and what stands around it; applied again, it upgrades. The
    operator reads no Secret that you do not name.

    \b
    kubechain install --secret default/openai | kubectl apply --server-side -f -
    kubechain install --namespace team-a --watch-namespace team-a --secret team-a/openai
    kubechain install --crds | kubectl apply --server-side -f -
    """
    from kubechain.deploying import manifests
    from kubechain.deploying.settings import InstallSettings

    if stray := [f"{where}/{name}" for where, name in secrets if watch and where != watch]:
        raise click.BadParameter(
            f"{stray[0]} is not in {watch}, the one namespace it looks after", param_hint="--secret"
        )
    settings = InstallSettings(namespace or "kubechain-system", watch, image, replicas, secrets)
    click.echo(manifests.document(manifests.crds() if crds else manifests.everything(settings)), nl=False)
