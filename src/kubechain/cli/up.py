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

from kubechain import __version__, logs
from kubechain.cli import background, instance, options
from kubechain.cli.exits import CommandError
from kubechain.cli.importing import lightly
from kubechain.cli.instance import Instance, Lock
from kubechain.cli.remembered import Remembered, recall, remember
from kubechain.cli.state import state_home
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
        help="Folder for everything KubeChain keeps: database, keys, kubeconfig, settings, log.",
    )(command)


@click.command("up")
@state_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free port."
)
@click.option(
    "--model",
    type=click.Choice(["scripted", "own"]),
    help="scripted: a built-in model without a key answers LLMs that have no baseURL. own: their providers do. "
    "Default: as last time; for a new folder own.",
)
@click.option(
    "--model-delay", type=options.Duration(), help="How long the scripted model thinks. Default: as last time."
)
@click.option(
    "--functions",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="Folder with Python modules that function tools may name. May be repeated. Default: as last time.",
)
@click.option("--no-functions", is_flag=True, help="Forget the folders of last time.")
@click.option(
    "--container-engine",
    type=click.Choice(["podman", "docker"]),
    help="What runs container tools. Default: as last time; else podman, or docker where there is no podman.",
)
@click.option("--detach", is_flag=True, help="Run in the background; `kubechain down` stops it.")
@click.option("--bare", is_flag=True, help="Do not put the sample tools into a new store.")
@options.logging
@click.option(
    "--ready-fd",
    type=int,
    default=-1,
    hidden=True,
    help="File descriptor to which it writes, in JSON, that it is ready.",
)
@click.option("--parent", type=int, default=0, hidden=True, help="End when the process of this id does.")
def up(
    state: Path,
    port: int,
    model: str | None,
    model_delay: float | None,
    functions: tuple[Path, ...],
    no_functions: bool,
    container_engine: str | None,
    detach: bool,
    bare: bool,
    log_level: str,
    log_format: str,
    ready_fd: int,
    parent: int,
) -> None:
    """Start KubeChain on this machine.

    It needs no cluster and no Docker, and with --model scripted no API key. It listens on 127.0.0.1 only.

    Ctrl-C or `kubechain down` stops it. The next `kubechain up` continues where it stopped, also after a crash,
    and uses the same --model and --functions unless you give others.

    \b
    kubechain up                                 use the models that your LLM objects name
    kubechain up --model scripted                use a built-in model that needs no key
    kubechain up --detach; kubechain status; kubechain down
    kubechain up --state ./two --port 0          run a second, separate KubeChain
    """
    state = state.expanduser().resolve()
    told = _settings(state, model, model_delay, functions, no_functions, container_engine)
    if ready_fd < 0 and told.spoken and not any((model, functions, container_engine)):
        options.complain(f"Using the options of last time: {told.spoken}")
    if detach:
        _detached(state)
        return
    logs.configure(log_level, log_format)
    if parent:
        from kubechain.providers.tools.tether import tie

        tie(parent)
    try:
        with Lock.take(state) as lock:
            lock.record(Instance(os.getpid(), __version__))
            free_port(port)
            remember(state, told)
            instance.forget_the_last_end(state)
            unfinished = _serve(lock, state, port, bare, told, ready_fd)
            instance.leave(state, unfinished)
    except OSError as error:
        if error.errno in (*instance.FULL, errno.EIO, errno.EROFS):
            raise instance.unusable(state, error) from None
        raise
    for one in unfinished:
        options.complain(f"Interrupted: {one}")
    options.complain(f"KubeChain stopped. `{instance.command('up', state)}` continues where it stopped.")


def _serve(lock: Lock, state: Path, port: int, bare: bool, told: Remembered, ready_fd: int) -> list[str]:
    """Serves until it is told to end; what could not end by then."""
    with lightly():
        from kubechain.app.settings import (  # the whole program: only the process that serves needs it
            EmbeddedSettings,
            ProviderSettings,
        )
        from kubechain.cli.serve import serve

    folders = tuple(Path(folder) for folder in told.functions)
    model = "scripted" if told.model == "scripted" else ""
    providers = ProviderSettings(model, told.model_delay, base_urls(), folders)
    engine = told.container_engine
    settings = EmbeddedSettings(state, port=port, bare=bare, container_engine=engine, providers=providers)
    return serve(settings, lambda now: _ready(lock, now, ready_fd), lambda: instance.grace_of(state))


def _settings(
    state: Path,
    model: str | None,
    delay: float | None,
    functions: tuple[Path, ...],
    no_functions: bool,
    engine: str | None,
) -> Remembered:
    """What the command line says, and for the rest what this folder was last started with."""
    last = recall(state)
    folders = tuple(str(folder.resolve()) for folder in functions)
    if not folders and not no_functions:
        folders = tuple(folder for folder in last.functions if Path(folder).is_dir())
        for gone in sorted(set(last.functions) - set(folders)):
            options.complain(f"warning: {gone} (--functions of last time) does not exist any more and is left out")
    delay = last.model_delay if delay is None else delay
    return Remembered(model or last.model, delay, folders, engine or last.container_engine)


def _ready(lock: Lock, now: Instance, ready_fd: int) -> None:
    """Tells whoever waits for it: every later command, and the one that started this process."""
    lock.record(now)
    if ready_fd >= 0:
        with os.fdopen(ready_fd, "w") as told:
            told.write(json.dumps(asdict(now)) + "\n")
    else:
        click.echo(first_steps(now))


def first_steps(now: Instance) -> str:
    """What a newcomer needs to know of a KubeChain that just started."""
    return f"""KubeChain {now.version} serves {now.url}
{now.model}

  export KUBECONFIG={now.kubeconfig}

First steps (no kubectl? write kubechain in its place):
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
    Lock.take(state).free()  # raises the sentence that says who runs, or why the folder cannot be used
    log = state / LOG
    child = serving = None
    try:
        with background.uninterrupted():
            child = background.start([word for word in sys.argv[1:] if word != "--detach"], log)
        serving = child.ready(START_SECONDS)
        if serving is None:
            raise CommandError(f"KubeChain did not start. The end of its log, {log}:\n{child.last_words()}")
    finally:
        if child is not None and serving is None:
            child.stop()
    click.echo(first_steps(serving))
    click.echo(
        f"It runs in the background (pid {serving.pid}, log {log}). `{instance.command('down', state)}` stops it."
    )
