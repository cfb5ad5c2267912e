"""A run as it changes, with its ToolCalls: what `logs -f`, `run --follow` print from.

Watches both kinds; over a restart of the server too. Decides nothing and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from kubechain.cli.changes import LISTING, SYNCED
from kubechain.cli.client import Client
from kubechain.cli.discover import Discovery
from kubechain.cli.feed import Feed, News, Watched
from kubechain.cli.objects import finished, members, text
from kubechain.cli.transcript import label_of_run
from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject


@dataclass(frozen=True, slots=True)
class State:
    """A run and its ToolCalls at a moment."""

    run: JsonObject
    calls: list[JsonObject]


def snapshot(client: Client, known: Discovery, name: str) -> State:
    """The run as it is now. Raises NotFound."""
    run = client.get(known.find("taskruns").path(client.namespace, name))
    return State(run, _calls(client, known, name))


def states(client: Client, known: Discovery, name: str) -> Iterator[State]:
    """Every state of a run, the last one finished. Raises NotFound (not there, or deleted), NotRunning."""
    runs, calls = known.find("taskruns"), known.find("toolcalls")
    of_run = Watched(runs, {"fieldSelector": f"metadata.name={name}"})
    seen, untold = _Seen(f'{runs.qualified} "{name}"'), list[JsonObject]()
    feed = Feed(client, [of_run, Watched(calls, {"labelSelector": label_of_run(name)})])
    with closing(feed):
        for news in feed.news():
            if news.event.type == LISTING and seen.complete:  # the server was away
                client.look_again()
            seen.take_in(news)
            untold.append(seen.run)
            if seen.complete or finished(seen.run):
                yield from (State(run, [*seen.calls.values()]) for run in untold if run and not finished(run))
                untold.clear()
            if finished(seen.run):
                yield State(seen.run, _calls(client, known, name))
                return


class _Seen:
    """What the watches have delivered so far."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._there = False
        self._synced: set[str] = set()
        self.run: JsonObject = {}
        self.calls: dict[str, JsonObject] = {}

    @property
    def complete(self) -> bool:
        """Whether both watches have delivered their first list."""
        return len(self._synced) == 2

    def take_in(self, news: News) -> None:
        """Raises NotFound where the run is not there."""
        event = news.event
        if event.type == LISTING:
            self._synced.discard(news.kind)
        elif event.type == SYNCED:
            self._synced.add(news.kind)
        if news.kind == "TaskRun":
            self._take_run(event.type, event.object)
        elif event.object:
            self.calls[text(event.object, "metadata.name")] = event.object

    def _take_run(self, type_: str, run: JsonObject) -> None:
        if type_ == LISTING:
            self._there = False
        elif type_ == "DELETED":
            raise NotFound(f"{self._title} was deleted")
        elif type_ == SYNCED and not self._there:
            raise NotFound(f"{self._title} not found")
        elif run:
            self.run, self._there = run, True


def _calls(client: Client, known: Discovery, name: str) -> list[JsonObject]:
    path = known.find("toolcalls").path(client.namespace)
    return members(client.get(path, {"labelSelector": label_of_run(name)}), "items")
