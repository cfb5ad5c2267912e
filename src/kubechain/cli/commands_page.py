"""docs/commands.md, written from the commands themselves: what each does, its examples, its options.

Called by `python -m kubechain.cli.commands_page docs/commands.md` and by the test that holds the page current.
Never runs a command.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from kubechain.cli.exits import MEANINGS
from kubechain.cli.main import kubechain

_HEAD = """# Commands

Written by `python -m kubechain.cli.commands_page docs/commands.md`; `kubechain COMMAND --help` says the same.
A duration is written `30s`, `5m` or `1h30m`. `NO_COLOR` in the environment switches colours off.
"""


def document() -> str:
    """The whole page as Markdown."""
    context = click.Context(kubechain, info_name="kubechain")
    sections = []
    for name in kubechain.list_commands(context):
        command = kubechain.get_command(context, name)
        if command is not None:
            sections += _sections(command, click.Context(command, info_name=name, parent=context))
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    return "\n".join([_HEAD, *sections, "## Exit codes\n", "| code | meaning |", "|---|---|", codes, ""])


def _sections(command: click.Command, context: click.Context) -> list[str]:
    """The command's, or those of the commands in its group."""
    if not isinstance(command, click.Group):
        return [_section(command, context)]
    return [
        section
        for name, sub in command.commands.items()
        for section in _sections(sub, click.Context(sub, info_name=name, parent=context))
    ]


def _section(command: click.Command, context: click.Context) -> str:
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [
        f"## {context.command_path.removeprefix('kubechain ')}\n",
        "```",
        " ".join(usage.split()),
        "```\n",
        *_help(command),
        "",
    ]
    rows = [row for p in command.params if (row := _row(p, context))]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _help(command: click.Command) -> list[str]:
    """The paragraphs of the help text; those that click leaves as they stand are examples."""
    paragraphs = inspect.cleandoc(command.help or "").replace("\b\n", "\b").split("\n\n")
    return "\n\n".join(
        f"```bash\n{p.removeprefix(chr(8)).rstrip()}\n```" if p.startswith("\b") else p.strip() for p in paragraphs
    ).split("\n")


def _row(parameter: click.Parameter, context: click.Context) -> str:
    """One option; "" for what is hidden, and for arguments, which the usage line shows."""
    record = parameter.get_help_record(context)
    if record is None or isinstance(parameter, click.Argument) or "--help" in parameter.opts:
        return ""
    option, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return f"| `{option}` | {meaning} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
