"""The program `kubechain`: finds the command, runs it, turns failures into a line on stderr and an exit code.

The entry point of the package. A command's module is imported when that command is called: each starts fast.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from kubechain import __version__
from kubechain.cli import exits
from kubechain.cli.exits import CommandError
from kubechain.cli.failure import explained
from kubechain.errors import KubechainError

_COMMANDS = {
    "up": "up",
    "down": "down",
    "status": "down",
    "kubeconfig": "contexts",
    "demo": "demo",
    "run": "run",
    "create": "create",
    "apply": "apply",
    "get": "get",
    "describe": "describe",
    "logs": "logs",
    "tree": "tree",
    "tools": "tools",
    "mcp": "mcp",
    "artifacts": "artifacts",
    "wait": "wait",
    "settle": "settle",
    "reload": "reload",
    "openapi": "openapi",
    "delete": "delete",
    "operator": "operator",
    "tool-host": "tool_host",
    "install": "install",
}
"""Command -> its module, in the order of the help text."""

_CODES = "\n".join(f"  {code:<4} {meaning}" for code, meaning in exits.MEANINGS.items())
_HELP = f"""Agents, their tools and their conversations as Kubernetes objects.

\b
  kubechain demo                     see it work, in a minute, with nothing to set up
  kubechain up --detach              start it
  kubechain apply -f agent.yaml      describe an agent
  kubechain run my-assistant "Say hello" --follow

Everything is an object of a Kubernetes API: kubectl works too.

\b
Exit codes:
{_CODES}
"""


class Commands(click.Group):
    """The commands by name, each imported when it is first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(importlib.import_module(f"kubechain.cli.{module}"), cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None


@click.group(cls=Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kubechain", message="%(prog)s %(version)s")
@click.pass_context
def kubechain(ctx: click.Context) -> None:
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    try:
        code = kubechain.main(arguments, prog_name="kubechain", standalone_mode=False)
        return code if isinstance(code, int) else exits.OK
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KubechainError as error:
        click.echo(explained(error), err=True)
        return error.exit_code if isinstance(error, CommandError) else exits.FAILED
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:  # `kubechain get ... | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK


if __name__ == "__main__":
    sys.exit(main())
