"""DBOS Transact: a workflow with a step per model call and per tool call.

`--store sqlite` keeps the system database in the folder, `--store postgres` at $BENCH_POSTGRES. Launching recovers
the workflows of a process that died; a run whose start never reached the database is started again here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.arguments import arguments
from bench.chat import Chat
from bench.job import Shape, answered, asked
from bench.peers.drive import Local, drive, until_asked
from bench.peers.postgres import Database

_AT_ONCE = 200
_TOPIC = "approval"
_HOURS = 7200
chats: list[Chat] = []
"""The model client of this process: workflows are functions and have no object to hang it on."""


@DBOS.step()
async def ask(messages: list[dict[str, Any]], model: str) -> dict[str, Any]:
    return await chats[0].ask(messages, model)


@DBOS.step()
async def call(requested: dict[str, Any]) -> dict[str, Any]:
    return answered(requested)


@DBOS.workflow()
async def agent(run: str, model: str, waits: bool) -> str:
    messages = [asked(run)]
    while True:
        messages.append(reply := await ask(messages, model))
        if not reply.get("tool_calls"):
            return str(reply["content"])
        if waits and not await DBOS.recv_async(_TOPIC, timeout_seconds=_HOURS):
            raise RuntimeError(f"{run} was not approved")
        for requested in reply["tool_calls"]:
            messages.append(await call(requested))


class Dbos(Local):
    def __init__(self, args: argparse.Namespace, database: Database | None) -> None:
        super().__init__(Path(args.dir))
        self.args, self.database = args, database
        self.model = Shape(args.turns, args.size, args.wait).model
        self.asked = 0

    async def _start(self, run: str) -> Any:
        with SetWorkflowID(run):
            return await DBOS.start_workflow_async(agent, run, self.model, self.args.job == "park")

    async def one(self, run: str) -> str:
        return str(await (await self._start(run)).get_result())

    async def many(self, runs: list[str]) -> list[str]:
        handles = [await self._start(run) for run in runs]
        return [str(answer) for answer in await asyncio.gather(*(handle.get_result() for handle in handles))]

    async def park(self, runs: list[str]) -> None:
        for run in runs:
            await self._start(run)
        self.asked += len(runs)
        await until_asked(self.args.model, self.asked)

    async def approve(self, runs: list[str]) -> list[str]:
        for first in range(0, len(runs), _AT_ONCE):
            some = runs[first : first + _AT_ONCE]
            await asyncio.gather(*(DBOS.send_async(run, True, topic=_TOPIC) for run in some))
        return list(await asyncio.gather(*(self._result(run) for run in runs)))

    async def recover(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self._go_on(run) for run in runs)))

    async def _go_on(self, run: str) -> str:
        if await DBOS.get_workflow_status_async(run) is None:
            return await self.one(run)
        return await self._result(run)

    async def _result(self, run: str) -> str:
        return str(await (await DBOS.retrieve_workflow_async(run)).get_result())

    def disk(self) -> tuple[float, float]:
        return self.database.disk() if self.database else super().disk()


async def main(args: argparse.Namespace) -> None:
    database, url = None, f"sqlite:///{args.dir}/dbos.sqlite"
    if args.store == "postgres":
        database = Database(os.environ["BENCH_POSTGRES"], "dbos", fresh=not args.again)
        url = database.url
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "application_version": "1",
        "executor_id": "local",
    }
    DBOS(config=config)
    async with Chat(args.model) as chat:
        chats.append(chat)
        DBOS.launch()
        system = Dbos(args, database)
        await drive(args, system, system)
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
