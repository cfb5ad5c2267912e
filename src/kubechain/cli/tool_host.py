"""`kubechain tool-host`: runs the tool processes of an operator in another container of its pod.

A command of `main`; the container "tools" of the Deployment runs it. It has no rights and no credentials.
"""

from __future__ import annotations

from pathlib import Path

import click

from kubechain import logs
from kubechain.cli import options


@click.command("tool-host")
@click.argument("socket", type=click.Path(path_type=Path))
@options.logging
def tool_host(socket: Path, log_level: str, log_format: str) -> None:
    """Run the tool processes of the operator that listens at SOCKET.

    The operator (`kubechain operator --tool-host SOCKET`) then starts functions and MCP servers here: with the
    user, the files and the limits of this container, and without its own credentials. Each operator has one tool
    host. When the operator ends, every tool process is killed, and the tool host waits for the next operator.

    \b
    kubechain tool-host /run/kubechain/tools.sock
    """
    logs.configure(log_level, log_format)
    from kubechain.providers.tools.beside.host import run

    run(socket)
