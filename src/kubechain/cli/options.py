"""The flags that several commands share, and the way TYPE and NAME are written on the command line.

Used by the command modules as decorators. Never talks to the server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from kubechain import logs
from kubechain.cli.exits import CommandError
from kubechain.resources import duration

F = TypeVar("F", bound=Callable[..., object])


def connection(command: F) -> F:
    """Adds --kubeconfig and -n."""
    command = click.option(
        "-n", "--namespace", default="", metavar="NS", help="Namespace; default: that of the kubeconfig's context."
    )(command)
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        help="Default: $KUBECONFIG, else the file that `kubechain up` wrote.",
    )(command)


def manifests(command: F) -> F:
    """Adds -f and -R: objects as manifests name them."""
    command = click.option(
        "-R", "--recursive", is_flag=True, help="Read the folders given with -f with all their subfolders."
    )(command)
    return click.option(
        "-f", "--filename", "sources", multiple=True, metavar="FILE|DIR|-", help="The objects that manifests name."
    )(command)


def selectors(command: F) -> F:
    """Adds -l and --field-selector."""
    command = click.option(
        "--field-selector",
        "fields",
        default="",
        metavar="FIELDS",
        help="Only with these fields: status.phase=Failed",
    )(command)
    return click.option(
        "-l", "--selector", "labels", default="", metavar="LABELS", help="Only with these labels: a=b,c!=d"
    )(command)


def logging(command: F) -> F:
    """Adds --log-level and --log-format."""
    command = click.option(
        "--log-format",
        "log_format",
        type=click.Choice(logs.FORMATS),
        default="text",
        show_default=True,
        help="json: one JSON object a line, for log collectors.",
    )(command)
    return click.option(
        "--log-level",
        "log_level",
        type=click.Choice(logs.LEVELS),
        default="info",
        show_default=True,
        help="The least important lines to log.",
    )(command)


def references(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """(type, name) for `TYPE NAME...` and `TYPE/NAME...`. Raises CommandError where there is no name."""
    if all("/" in word for word in words):
        return [(kind, name) for kind, _, name in (word.partition("/") for word in words)]
    if len(words) < 2 or any("/" in word for word in words):
        raise CommandError(f"{' '.join(words)!r} does not name an object: write TYPE NAME or TYPE/NAME")
    return [(words[0], name) for name in words[1:]]


class Duration(click.ParamType[float]):
    """`30s`, `5m`, `1h30m` or a plain number of seconds -> seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        words = str(value)
        try:
            return float(words)
        except ValueError:
            import re

            if not re.match(duration.PATTERN, words):
                self.fail(f"{words!r} is not a duration: write 30s, 5m or 1h30m", param, ctx)
            return duration.seconds(words)


def complain(words: str) -> None:
    """Prints one line to stderr."""
    click.echo(words, err=True)
