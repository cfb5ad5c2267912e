"""`kubechain demo`: the README's walk-through in a minute, with a kill -9 in the middle.

A command of `main`. Uses a temporary folder and its own processes, and removes both.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import FrameType

import click

from kubechain.cli import background, document, transcript
from kubechain.cli.apply import apply_one
from kubechain.cli.client import Client, connect
from kubechain.cli.discover import Discovery
from kubechain.cli.exits import CommandError
from kubechain.cli.feed import Feed, Watched
from kubechain.cli.get import print_tables
from kubechain.cli.instance import Instance
from kubechain.cli.logs import coloured
from kubechain.cli.objects import mapping, members, printable, text
from kubechain.cli.table import Columns
from kubechain.cli.wanted import resolve
from kubechain.resources.json import JsonObject

KINDS = ("llms", "agents", "tasks", "taskruns", "toolcalls")
RUN = "hello-world-run"
THINKING = "1200ms"
PATIENCE = 60.0
"""Seconds that one step may take; a real model is slow at times."""


@click.command("demo")
@click.option(
    "--real/--scripted",
    default=None,
    help="Ask OpenAI's model with OPENAI_API_KEY, or a built-in one without a key. Default: on a terminal you are "
    "asked, if the key is set; otherwise the built-in one.",
)
def demo(real: bool | None) -> None:
    """See KubeChain work, and survive kill -9.

    An agent works on a task with a tool, is killed half-way, and continues. It takes about ten seconds and removes
    everything it made. It needs no API key, and asks a model that costs money only if you agree.

    \b
    kubechain demo
    OPENAI_API_KEY=sk-... kubechain demo --real
    """
    key = key_to_spend(real)
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="kubechain-demo-"))
    show = Demo(folder, key)
    held = ""
    try:
        held = show.play()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # nobody interrupts the cleaning up
        show.stop()
        shutil.rmtree(folder, ignore_errors=True)
        click.echo(f"\nCleaned up: nothing runs, {folder} is removed.")
    click.echo(held)


def key_to_spend(real: bool | None) -> str:
    """The API key to spend, "" for the scripted model. Raises CommandError."""
    key = os.environ.get("OPENAI_API_KEY", "")
    if real and not key:
        raise CommandError("--real needs an API key: set OPENAI_API_KEY")
    if real is None and key and sys.stdin.isatty() and sys.stdout.isatty():
        where = os.environ.get("OPENAI_BASE_URL") or "OpenAI"
        real = click.confirm(f"OPENAI_API_KEY is set. Ask the real model at {where} with it? It may cost a cent")
    return key if real else ""


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


class Demo:
    """One run of the demo: the child process that serves, and what was already shown of each object."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key
        self.child: background.Child | None = None
        self.latest: dict[tuple[str, str], JsonObject] = {}
        self.shown: dict[tuple[str, str], str] = {}
        self.told = 0
        self.steps = 0

    @property
    def hint(self) -> str:
        """What to try if the real model fails."""
        return "; `kubechain demo --scripted` works without it" if self.key else ""

    def play(self) -> str:
        """Runs the demo and returns its last line. Raises CommandError if a step fails."""
        click.echo("KubeChain: an agent, a task and a tool as Kubernetes objects, and a kill -9 half-way.")
        self.step("Start KubeChain: API, store and controllers in one process")
        client, known = self.start()
        feed = Feed(client, [Watched(known.find(kind)) for kind in KINDS], patience=0)

        self.step("Apply the README's manifests: a Secret, an LLM, an Agent, a Task")
        self.apply(client, known, self.secret(), *_manifests("task.yaml", "agent.yaml", "llm.yaml"))
        note("The Task is applied first: each object waits for what it refers to, and becomes ready by itself.")
        self.watch(feed, self.ready, "Ready on the Task")

        self.step("Run the task: every change of an object, and the conversation as it grows")
        self.apply(client, known, *_manifests("taskrun.yaml"))
        self.watch(feed, self.checkpointed, "the first reply of the model")

        self.step("kill -9 in the middle of the run")
        before = self.kill()

        self.step("Start it again: the run continues where it stopped")
        client, known = self.start()
        feed = Feed(client, [Watched(known.find(kind)) for kind in KINDS], patience=0)
        self.watch(feed, self.finished, "the end of the run")

        self.step("What kubectl shows now")
        for words in (("llm", "-o", "wide"), ("agent",), ("task",), ("toolcall",), ("taskrun",)):
            click.echo(click.style(f"$ kubectl get {' '.join(words)}", bold=True))
            print_tables(client, resolve(words[:1], known, client.namespace), Columns(wide="wide" in words))
            click.echo()
        return self.judge(before)

    def step(self, words: str) -> None:
        """A numbered heading."""
        self.steps += 1
        click.echo("\n" + click.style(f"{self.steps}. {words}", bold=True, fg="cyan"))

    def start(self) -> tuple[Client, Discovery]:
        """Starts the child and connects to it."""
        arguments = ["up", "--state", str(self.folder), "--port", "0", "--parent", str(os.getpid())]
        arguments += ["--model", "own"] if self.key else ["--model", "scripted", "--model-delay", THINKING]
        began = time.monotonic()
        with background.uninterrupted():
            self.child = background.start(arguments, self.folder / "kubechain.log")
        instance = self.child.ready(PATIENCE)
        if instance is None:
            raise CommandError(f"KubeChain did not start. The end of its log:\n{self.child.last_words()}")
        self.introduce(instance, time.monotonic() - began)
        client = connect(instance.kubeconfig)
        return client, Discovery.of(client)

    def introduce(self, instance: Instance, seconds: float) -> None:
        """Shows what is running."""
        note(f"process {instance.pid} serves {instance.url} after {seconds:.1f} s; state in {self.folder}")
        note(f"{instance.model}, {THINKING} a reply" if not self.key else instance.model)

    def secret(self) -> JsonObject:
        """The Secret that the README makes with `kubectl create secret`."""
        data: JsonObject = {"OPENAI_API_KEY": self.key or "the-scripted-model-takes-any"}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}, "stringData": data}

    def apply(self, client: Client, known: Discovery, *manifests: JsonObject) -> None:
        """Applies objects in the given order, with the output of kubectl."""
        for manifest in manifests:
            note(apply_one(client, known, manifest))

    def watch(self, feed: Feed, done: Callable[[], bool], goal: str) -> None:
        """Shows every change until `done`. Raises CommandError if that takes too long or cannot happen."""
        try:
            for news in feed.news(PATIENCE):
                if news.event.object:
                    self.see(news.event.object)
                if done():
                    return
        except TimeoutError:
            why = f"{goal} did not happen within {PATIENCE:.0f} s; the lines above say why"
            raise CommandError(f"{why}{self.hint}") from None

    def see(self, obj: JsonObject) -> None:
        """Shows what is new in an object."""
        key = text(obj, "kind"), text(obj, "metadata.name")
        self.latest[key] = obj
        line = summary(obj)
        if self.shown.get(key) != line:
            self.shown[key] = line
            title = f"{key[0].lower()}/{key[1]}"
            click.echo(f"   {click.style(title.ljust(36), fg='bright_black')} {line}")
        if key == ("TaskRun", RUN):
            said = transcript.entries(obj)
            for entry in said[self.told :]:
                click.echo("\n".join(f"   {line}" for line in coloured(entry)))
            self.told = max(self.told, len(said))
        if text(obj, "status.status") == "Error" or text(obj, "status.phase") == "Failed":
            why = text(obj, "status.statusDetail") or text(obj, "status.error")
            raise CommandError(f"{'/'.join(key)} failed: {why}{self.hint}")

    def ready(self) -> bool:
        """Whether the Task is Ready."""
        return text(self.latest.get(("Task", "hello-world-task")), "status.ready") == "true"

    def run(self) -> JsonObject:
        """The run as last seen."""
        return self.latest.get(("TaskRun", RUN), {})

    def checkpointed(self) -> bool:
        """Whether a reply of the model is stored."""
        return any(text(m, "role") == "assistant" for m in members(self.run(), "status.messages"))

    def finished(self) -> bool:
        """Whether the run has its final answer."""
        return text(self.run(), "status.phase") == "FinalAnswer"

    def kill(self) -> list[JsonObject]:
        """Kills the child, and returns the messages that are stored."""
        before = members(self.run(), "status.messages")
        if self.child is not None:
            rest = (
                "the model was quick, and the run had ended already"
                if self.finished()
                else "the rest is still to do"
            )
            note(f"process {self.child.process.pid} is killed: {len(before)} messages are stored, {rest}")
            self.child.kill()
            self.child.stop()
        return before

    def judge(self, before: list[JsonObject]) -> str:
        """The line that says that the transcript is what it would be without the kill. Raises CommandError."""
        after = members(self.run(), "status.messages")
        answered = [text(m, "toolCallId") for m in after if text(m, "role") == "tool"]
        asked = [text(c, "id") for m in after for c in members(m, "toolCalls")]
        if after[: len(before)] != before or sorted(answered) != sorted(asked) or len(set(asked)) != len(asked):
            raise CommandError("the transcript is wrong: please report this, with the lines above")
        new = len(after) - len(before)
        every = "Its one tool call has" if len(asked) == 1 else f"Each of its {len(asked)} tool calls has"
        click.echo(f"{every} exactly one result, and no message appears twice.")
        held = f"{len(after)} messages: {len(before)} from before the kill, unchanged, and {new} after it."
        return click.style("Passed. ", bold=True, fg="green") + held

    def stop(self) -> None:
        """Leaves no process behind."""
        if self.child is not None:
            self.child.stop(grace=3.0)


def summary(obj: JsonObject) -> str:
    """The status of an object, in one line."""
    status = mapping(obj, "status")
    stands = text(status, "status") or text(status, "phase") or "created"
    colour = {"Ready": "green", "FinalAnswer": "green", "Succeeded": "green", "Error": "red", "Failed": "red"}
    why = (
        text(status, "statusDetail")
        or text(status, "waitingOn")
        or text(status, "result")
        or text(status, "error")
    )
    return (
        click.style(f"{stands:11}", fg=colour.get(stands, "yellow")) + " " + printable(" ".join(why.split())[:100])
    )


def note(words: str) -> None:
    """One indented line."""
    click.echo(f"   {words}")


def _manifests(*names: str) -> list[JsonObject]:
    folder = files("kubechain.samples") / "walkthrough"
    return [obj for name in names for obj in document.manifests((folder / name).read_text("utf-8"), name)]
