"""`kubechain down` and `kubechain status`: stop or show the KubeChain that runs on a state folder.

Commands of `main`. They speak to the process and its record, never to the API.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from kubechain.cli import instance, options
from kubechain.cli.exits import NOT_RUNNING
from kubechain.cli.instance import command
from kubechain.cli.up import state_option


@click.command("down")
@state_option
@click.option(
    "--grace",
    type=options.Duration(),
    default=instance.GRACE,
    help="How long tool calls and model calls in progress may take to finish; default 30s.",
)
def down(state: Path, grace: float) -> None:
    """Stop the running KubeChain.

    No new work is begun; tool calls and model calls in progress may finish within --grace, and those that do not
    are named. Everything else continues with the next `kubechain up`. The state folder is kept. If nothing runs,
    nothing is done, and the exit code is 0.

    \b
    kubechain down
    kubechain down --grace 2m
    kubechain down --state ./two
    """
    state = state.expanduser().resolve()
    unfinished = instance.stop(state, grace)
    for one in unfinished or []:
        click.echo(f"Interrupted: {one}")
    if unfinished is not None:
        click.echo(f"KubeChain on {state} stopped. `{command('up', state)}` continues where it stopped.")
    else:
        click.echo(f"No KubeChain runs on {state}.")


@click.command("status")
@state_option
@click.option("-o", "--output", type=click.Choice(["json"]), help="json: for scripts.")
@click.pass_context
def status(ctx: click.Context, state: Path, output: str | None) -> None:
    """Show whether KubeChain runs, and where.

    The exit code is 0 if it runs on the state folder, and 3 if it does not.

    \b
    kubechain status
    kubechain status -o json
    kubechain status >/dev/null || kubechain up --detach
    """
    state = state.expanduser().resolve()
    now = instance.running(state)
    if output == "json":
        said = {"running": now is not None, "state": str(state), **(asdict(now) if now else {})}
        click.echo(json.dumps(said, indent=2))
    elif now is None:
        click.echo(f"KubeChain does not run on {state}: start it with `{command('up', state)}`")
    else:
        click.echo(f"KubeChain {now.version} {'runs' if now.url else 'is starting'} (pid {now.pid})")
        for name, value in (("url", now.url), ("kubeconfig", now.kubeconfig), ("state", str(state))):
            click.echo(f"  {name:11} {value}")
        click.echo(f"  {'model':11} {now.model}")
    ctx.exit(0 if now else NOT_RUNNING)
