"""The same job with no engine at all: a loop, an HTTP client and the tool in this process.

`--store none` keeps nothing: the floor under every figure. `--store sqlite` writes each reply and each result by
hand as a row of SQLite, committed one by one in WAL with synchronous=FULL: the least that durability costs here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import uvloop

from bench.arguments import arguments
from bench.chat import Chat
from bench.job import Shape, answered, asked
from bench.jobs import measure


class Rows:
    """One row per message, each durable before the next step."""

    def __init__(self, folder: Path, store: str) -> None:
        self.database = None
        if store == "sqlite":
            self.database = sqlite3.connect(folder / "rows.db", isolation_level=None)
            self.database.execute("pragma journal_mode=wal")
            self.database.execute("pragma synchronous=full")
            self.database.execute("create table messages(run text, n integer, message text, primary key(run, n))")

    def save(self, run: str, messages: list[dict[str, Any]]) -> None:
        """Saves the last message."""
        if self.database is not None:
            row = (run, len(messages), json.dumps(messages[-1]))
            self.database.execute("insert into messages values (?, ?, ?)", row)


async def main(args: argparse.Namespace) -> None:
    folder = Path(args.dir)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = Rows(folder, args.store)
    shape = Shape(args.turns, args.size, args.wait)
    async with Chat(args.model) as chat:

        async def one(run: str) -> str:
            messages = [asked(run)]
            rows.save(run, messages)
            while True:
                messages.append(reply := await chat.ask(messages, shape.model))
                rows.save(run, messages)
                if not reply.get("tool_calls"):
                    return str(reply["content"])
                for call in reply["tool_calls"]:
                    messages.append(answered(call))
                    rows.save(run, messages)

        await measure(args, one, shape)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments("seq", "tput", "grow")))
