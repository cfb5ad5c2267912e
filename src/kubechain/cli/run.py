"""`kubechain run`: asks an agent something: a Task, a TaskRun that it owns, and (if wanted) the answer.

A command of `main`. The run does not depend on this command: Ctrl-C ends only the output.
"""

from __future__ import annotations

import sys

import click

from kubechain.cli import options, transcript
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import INTERRUPTED, AnswerCut, CommandError
from kubechain.cli.following import State, states
from kubechain.cli.logs import Printer
from kubechain.cli.objects import mapping, members, text
from kubechain.resources.json import JsonObject

_WRITE = {"fieldManager": "kubechain-run", "fieldValidation": "Strict"}


@click.command("run")
@click.argument("agent")
@click.argument("message")
@click.option("-f", "--follow", is_flag=True, help="Show the progress on stderr, and the answer on stdout.")
@click.option("--name", default="", help="Name of the Task and the TaskRun; default: AGENT and five characters.")
@options.connection
@click.pass_context
def run(
    ctx: click.Context, agent: str, message: str, follow: bool, name: str, kubeconfig: str | None, namespace: str
) -> None:
    """Ask an agent something.

    Creates a Task and a TaskRun; deleting the Task deletes both. With --follow, stdout gets the answer and nothing
    else, and the exit code is 0 for an answer, 6 for one that was cut off, and 1 for a run that failed. The run
    does not depend on this command: it continues if you press Ctrl-C, and is followed over a restart of KubeChain.

    \b
    kubechain run my-assistant "Say hello to the world using the echo tool" --follow
    answer=$(kubechain run my-assistant "What is 6 x 7?" --follow 2>/dev/null)
    """
    client = connect(kubeconfig, namespace)
    known = Discovery.of(client)
    needed = client.get(known.find("agents").path(client.namespace, agent))
    if text(needed, "status.ready") != "true":
        options.complain(f"agent/{agent} is not ready yet: {text(needed, 'status.statusDetail') or 'not checked'}")
    created = start(client, known, agent, message, name)
    shown = f"taskrun/{created}"
    if not follow:
        click.echo(f"{shown} created")
        options.complain(f"To follow it: kubechain logs {shown} -f")
        return
    options.complain(f"{shown} created")
    try:
        _follow(client, known, created)
    except KeyboardInterrupt:
        options.complain(
            f"\n{shown} continues without this command. To follow it again: kubechain logs {shown} -f"
        )
        ctx.exit(INTERRUPTED)


def start(client: Client, known: Discovery, agent: str, message: str, name: str = "") -> str:
    """Creates a Task and a TaskRun owned by it; the name of both. Raises ApiError."""
    tasks, runs = known.find("tasks"), known.find("taskruns")
    meta: JsonObject = {"name": name} if name else {"generateName": f"{agent}-"}
    wanted: JsonObject = {
        "apiVersion": tasks.api_version,
        "kind": tasks.kind,
        "metadata": meta,
        "spec": {"agent": agent, "userMessage": message},
    }
    task = client.send("POST", tasks.path(client.namespace), _WRITE, wanted)
    created = text(task, "metadata.name")
    owner: JsonObject = {
        "apiVersion": tasks.api_version,
        "kind": tasks.kind,
        "name": created,
        "uid": text(task, "metadata.uid"),
    }
    taskrun: JsonObject = {
        "apiVersion": runs.api_version,
        "kind": runs.kind,
        "metadata": {"name": created, "ownerReferences": [owner]},
        "spec": {"task": created},
    }
    client.send("POST", runs.path(client.namespace), _WRITE, taskrun)
    return created


def without_answer(run: JsonObject) -> JsonObject:
    """The run without its last message where that is the output, which goes to stdout and not to stderr too."""
    messages = members(run, "status.messages")
    if not messages or text(run, "status.phase") != "FinalAnswer":
        return run
    kept: JsonObject = {"messages": [*messages[:-1]]}
    return run | {"status": mapping(run, "status") | kept}


def _follow(client: Client, known: Discovery, name: str) -> None:
    show = Printer(client, known, options.complain, sys.stderr)
    last: JsonObject = {}
    for state in states(client, known, name):
        last = state.run
        show.update(State(without_answer(last), state.calls))
    if text(last, "status.phase") != "FinalAnswer":
        said = text(last, "status.error") or "no reason given"
        raise CommandError(f"taskrun/{name} failed: {said}; see `kubechain describe taskrun {name}`")
    click.echo(text(last, "status.output"))
    if cut := transcript.cut(last):
        raise AnswerCut(f"taskrun/{name}: the answer is not complete: {cut}")
