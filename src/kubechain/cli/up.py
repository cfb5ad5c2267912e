"""`kubechain up`: the whole of KubeChain in one process: API, store, controllers.

A command of `main`; `demo` starts it as a child. Holds the folder's lock while it serves; leaves nothing running.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from dataclasses import asdict
from pathlib import Path

import click

from kubechain import __version__
from kubechain.cli import background, options
from kubechain.cli.exits import CommandError
from kubechain.cli.importing import lightly
from kubechain.cli.instance import Instance, Lock, running
from kubechain.cli.kubeconfig import state_home
from kubechain.errors import SettingsError

DEFAULT_PORT = 6480
START_SECONDS = 60.0
LOG = "kubechain.log"


def state_option(command: click.decorators.FC) -> click.decorators.FC:
    """Adds --state, the folder that `up`, `down` and `status` speak of."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        default=state_home,
        show_default="~/.local/state/kubechain",
        help="Folder of everything it keeps: database, keys, kubeconfig, log.",
    )(command)


@click.command("up")
@state_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: a free one."
)
@click.option(
    "--model", type=click.Choice(["scripted"]), help="scripted: answer LLMs that name no baseURL. No key."
)
@click.option("--model-delay", type=options.Duration(), default=0.0, help="How long the scripted model thinks.")
@click.option(
    "--functions",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="Folder with Python modules that function tools may name. May be repeated.",
)
@click.option("--detach", is_flag=True, help="Go on in the background; `kubechain down` stops it.")
@click.option("--bare", is_flag=True, help="Do not put the samples into a fresh store.")
@click.option("--ready-fd", type=int, default=-1, hidden=True, help="Where to say, in JSON, that it serves.")
@click.option("--parent", type=int, default=0, hidden=True, help="End when the process of this id does.")
def up(
    state: Path,
    port: int,
    model: str | None,
    model_delay: float,
    functions: tuple[Path, ...],
    detach: bool,
    bare: bool,
    ready_fd: int,
    parent: int,
) -> None:
    """Start KubeChain on this machine.

    No cluster, no Docker, and with --model scripted no key.

    It listens on 127.0.0.1 alone. Ctrl-C stops it; started again it goes on where it was, after kill -9 too.

    \b
    kubechain up                                 with the models your LLM objects name
    kubechain up --model scripted                with a model that needs no key
    kubechain up --detach; kubechain status; kubechain down
    kubechain up --state ./two --port 0          a second one, apart from the first
    """
    state = state.expanduser().resolve()
    if detach:
        _detached(state)
        return
    if parent:
        from kubechain.providers.tools.tether import tie

        tie(parent)
    with Lock.take(state) as lock:
        free_port(port)
        lock.record(Instance(os.getpid(), __version__))
        with lightly():
            from kubechain.app.settings import (  # the whole program: only the process that serves needs it
                EmbeddedSettings,
                ProviderSettings,
            )
            from kubechain.cli.serve import serve

        folders = tuple(folder.resolve() for folder in functions)
        providers = ProviderSettings(model or "", model_delay, base_urls(), folders)
        settings = EmbeddedSettings(state, port=port, bare=bare, providers=providers)
        serve(settings, lambda instance: _ready(lock, instance, ready_fd))
    options.complain("KubeChain stopped; `kubechain up` goes on where it was.")


def _ready(lock: Lock, instance: Instance, ready_fd: int) -> None:
    """Tells whoever waits for it: every later command, and the one that started this process."""
    lock.record(instance)
    if ready_fd >= 0:
        with os.fdopen(ready_fd, "w") as told:
            told.write(json.dumps(asdict(instance)) + "\n")
    else:
        click.echo(first_steps(instance))


def first_steps(instance: Instance) -> str:
    """What a newcomer needs to know of a KubeChain that just started."""
    return f"""KubeChain {instance.version} serves {instance.url}
{instance.model}

  export KUBECONFIG={instance.kubeconfig}

First steps, with kubectl or with kubechain in its place:
  kubectl create secret generic openai --from-literal=OPENAI_API_KEY=$OPENAI_API_KEY
  kubectl apply -f kubechain-example/walkthrough/
  kubectl get kubechain
  kubechain run my-assistant "Say hello to the world using the echo tool" --follow
"""


def base_urls() -> dict[str, str]:
    """Where the environment says that providers answer: $OPENAI_BASE_URL, $ANTHROPIC_BASE_URL."""
    named = {provider: os.environ.get(f"{provider.upper()}_BASE_URL", "") for provider in ("openai", "anthropic")}
    return {provider: url for provider, url in named.items() if url}


def free_port(port: int) -> None:
    """Raises SettingsError when somebody else listens on the port."""
    if port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            cause = "is taken by another program" if error.errno == errno.EADDRINUSE else f"({error.strerror})"
            raise SettingsError(
                f"port {port} {cause}: choose one with --port, or --port 0 for a free one"
            ) from None


def _detached(state: Path) -> None:
    """Starts the same command in the background and returns when it serves. Raises CommandError."""
    if running(state) is not None:
        Lock.take(state)  # raises the sentence that says who runs
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = state / LOG
    child = instance = None
    try:
        with background.uninterrupted():
            child = background.start([word for word in sys.argv[1:] if word != "--detach"], log)
        instance = child.ready(START_SECONDS)
        if instance is None:
            raise CommandError(f"KubeChain did not start; the end of {log} says:\n{child.last_words()}")
    finally:
        if child is not None and instance is None:
            child.stop()
    click.echo(first_steps(instance))
    click.echo(f"It runs in the background (pid {instance.pid}, log {log}); `kubechain down` stops it.")
