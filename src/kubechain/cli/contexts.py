"""`kubechain kubeconfig`: prints the kubeconfig of the running KubeChain, or adds it to the user's own.

A command of `main`. Changes only the entries of one name in the file, keeps a copy of the old one, and
replaces the file atomically. Refuses a file that it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from kubechain.cli.exits import CommandError, NotRunning
from kubechain.cli.instance import LOOPBACK, command
from kubechain.cli.objects import mapping, members, text
from kubechain.cli.up import state_option
from kubechain.resources.json import JsonObject

_PARTS = ("cluster", "user", "context")
_COPY = ".before-kubechain"


@click.command("kubeconfig")
@state_option
@click.option("--merge", is_flag=True, help="Add a context to the file of --file, instead of printing.")
@click.option("--remove", is_flag=True, help="Remove that context from the file again.")
@click.option("--file", "target", type=click.Path(path_type=Path, dir_okay=False), help="Default: ~/.kube/config.")
@click.option("--context", "name", default="kubechain", show_default=True, metavar="NAME", help="Its name.")
@click.option("--use", is_flag=True, help="With --merge: make it the current context.")
@click.pass_context
def kubeconfig(
    ctx: click.Context, state: Path, merge: bool, remove: bool, target: Path | None, name: str, use: bool
) -> None:
    """Print the kubeconfig of KubeChain, or add its context to yours.

    Everything else in your file stays; a copy of it, as it was, is kept beside it. Your current context stays too,
    unless you say --use.

    \b
    kubechain kubeconfig > kubechain.yaml
    kubechain kubeconfig --merge; kubectl --context kubechain get kubechain
    kubechain kubeconfig --merge --context second --state ./two
    kubechain kubeconfig --remove
    """
    if merge and remove:
        raise click.UsageError("give one of --merge and --remove", ctx)
    file = (target or Path("~/.kube/config")).expanduser()
    if remove:
        gone = _change(file, lambda config: without(config, name))
        click.echo(f'context "{name}" removed from {file}' if gone else f'{file} has no context "{name}"')
        return
    own = _own(state.expanduser().resolve())
    if not merge:
        click.echo(own, nl=False)
        return
    _change(file, lambda config: merged(config, _parsed(own, state), name, use=use))
    click.echo(f'context "{name}" added to {file}')
    if not use:
        click.echo(f"Use it with: kubectl --context {name} get kubechain")


def merged(config: JsonObject, own: JsonObject, name: str, *, use: bool) -> JsonObject:
    """The config with the context of `own` in it, under a name. Raises CommandError where that is another's."""
    out = without(config, name)
    for part in _PARTS:
        body = dict(mapping(members(own, f"{part}s")[0], part))
        if part == "context":
            body |= {"cluster": name, "user": name}
        entry: JsonObject = {"name": name, part: body}
        out[f"{part}s"] = [*members(out, f"{part}s"), entry]
    if use or not text(out, "current-context"):
        out["current-context"] = name
    return {"apiVersion": "v1", "kind": "Config", **out}


def without(config: JsonObject, name: str) -> JsonObject:
    """The config without what `merged` put there. Raises CommandError where the name is another's."""
    if not _ours(config, name):
        raise CommandError(f'"{name}" is already the name of something else there: choose another with --context')
    out = dict(config)
    for part in _PARTS:
        if f"{part}s" in config:
            out[f"{part}s"] = [entry for entry in members(config, f"{part}s") if text(entry, "name") != name]
    if text(config, "current-context") == name:
        out["current-context"] = ""
    return out


def _ours(config: JsonObject, name: str) -> bool:
    """Whether the name is free, or that of a context to this machine that shares nothing with other contexts."""
    found = {part: _entry(config, part, name) for part in _PARTS}
    context, cluster = found["context"], found["cluster"]
    if context is None:
        return cluster is None and found["user"] is None
    others = [mapping(c, "context") for c in members(config, "contexts") if text(c, "name") != name]
    shared = any(name in (text(other, "cluster"), text(other, "user")) for other in others)
    host = urlsplit(text(cluster, "cluster.server")).hostname if cluster else ""
    return text(context, "context.cluster") == name and host in LOOPBACK and not shared


def _entry(config: JsonObject, part: str, name: str) -> JsonObject | None:
    return next((entry for entry in members(config, f"{part}s") if text(entry, "name") == name), None)


def _own(state: Path) -> str:
    try:
        return (state / "kubeconfig").read_text()
    except FileNotFoundError:
        raise NotRunning(
            f"there is no kubeconfig in {state}: start KubeChain with `{command('up', state)}`"
        ) from None


def _parsed(document: str, where: Path) -> JsonObject:
    from kubechain.resources import yamltext

    try:
        found = yamltext.first(document)
    except ValueError as error:
        raise CommandError(f"{where} cannot be read as YAML, so nothing is changed: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CommandError(f"{where} is not a kubeconfig, so nothing is changed")
    return found


def _change(file: Path, change: Callable[[JsonObject], JsonObject]) -> bool:
    """Writes the changed config, and a copy of the old one; False where nothing changes. Raises CommandError."""
    from kubechain.resources import yamltext

    try:
        file = file.resolve()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(file):
            before = file.read_text() if file.exists() else ""
            config = _parsed(before, file)
            after = change(config)
            if after == config:
                return False
            if before:
                _write(file.with_name(file.name + _COPY), before)
            _write(file, yamltext.dump(after))
    except OSError as error:
        raise CommandError(f"{file} cannot be changed ({error.strerror}): name another file with --file") from None
    return True


def _write(file: Path, content: str) -> None:
    """Writes the file atomically, readable only for its owner."""
    fresh = file.with_name(f".{file.name}.kubechain")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the lock that kubectl takes before it changes the file. Raises CommandError where another has it."""
    lock = file.with_name(file.name + ".lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise CommandError(f"{lock} exists: another program is changing {file}; remove it if none is") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
