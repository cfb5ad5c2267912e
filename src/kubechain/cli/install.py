"""`kubechain install`: prints what a cluster needs to know of KubeChain, for `kubectl apply`.

A command of `main`. Prints and does nothing else: no cluster is asked or changed.
"""

from __future__ import annotations

import click


@click.command("install")
@click.option("--crds", is_flag=True, required=True, help="The CustomResourceDefinitions of all kinds.")
def install(crds: bool) -> None:
    """Print what a cluster needs, as YAML.

    \b
    kubechain install --crds | kubectl apply --server-side -f -
    """
    from kubechain.resources.crd import document
    from kubechain.resources.registry import OURS

    click.echo("---\n".join(document(kind) for kind in OURS), nl=False)
