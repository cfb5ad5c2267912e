"""LangGraph: a graph of two nodes, model and tools, a checkpoint after each (`durability="sync"`).

`--store sqlite` is AsyncSqliteSaver, `--store postgres` AsyncPostgresSaver at $BENCH_POSTGRES. The library starts
nothing again by itself after a crash: `recover` walks the threads as an application has to.
"""

from __future__ import annotations

import argparse
import asyncio
import operator
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypedDict

import uvloop
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from bench.arguments import arguments
from bench.chat import Chat
from bench.job import Shape, answered, asked
from bench.peers.drive import Local, drive
from bench.peers.postgres import Database

_AT_ONCE = 200


class State(TypedDict):
    messages: Annotated[list[Any], operator.add]


class LangGraph(Local):
    def __init__(self, args: argparse.Namespace, chat: Chat, saver: Any, database: Database | None) -> None:
        super().__init__(Path(args.dir))
        self.chat, self.shape, self.database = chat, Shape(args.turns, args.size, args.wait), database
        self.asks = args.job == "park"
        graph = StateGraph(State)
        graph.add_node("model", self._model)
        graph.add_node("tools", self._tools)
        graph.add_edge(START, "model")
        graph.add_conditional_edges(
            "model", lambda state: "tools" if state["messages"][-1].get("tool_calls") else END
        )
        graph.add_edge("tools", "model")
        self.graph: Any = graph.compile(checkpointer=saver)

    async def _model(self, state: State) -> dict[str, Any]:
        return {"messages": [await self.chat.ask(state["messages"], self.shape.model)]}

    async def _tools(self, state: State) -> dict[str, Any]:
        if self.asks:
            interrupt("may it be called?")
        return {"messages": [answered(call) for call in state["messages"][-1]["tool_calls"]]}

    async def _invoke(self, run: str, given: Any) -> str:
        config = {"configurable": {"thread_id": run}, "recursion_limit": 10_000}
        state = await self.graph.ainvoke(given, config, durability="sync")
        return str(state["messages"][-1].get("content"))

    async def one(self, run: str) -> str:
        return await self._invoke(run, {"messages": [asked(run)]})

    async def many(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self.one(run) for run in runs)))

    async def park(self, runs: list[str]) -> None:
        await self.many(runs)

    async def approve(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self._invoke(run, Command(resume=True)) for run in runs)))

    async def recover(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self._go_on(run) for run in runs)))

    async def _go_on(self, run: str) -> str:
        state = await self.graph.aget_state({"configurable": {"thread_id": run}})
        if not state.values:  # killed before its first checkpoint
            return await self.one(run)
        if state.next or state.tasks:  # a kill between two writes leaves tasks without `next`
            return await self._invoke(run, None)
        return str(state.values["messages"][-1].get("content"))

    def disk(self) -> tuple[float, float]:
        return self.database.disk() if self.database else super().disk()


async def _saver(args: argparse.Namespace, stack: AsyncExitStack) -> tuple[Any, Database | None]:
    if args.store == "sqlite":
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        saver = await stack.enter_async_context(
            AsyncSqliteSaver.from_conn_string(str(Path(args.dir) / "langgraph.db"))
        )
        return saver, None
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    database = Database(os.environ["BENCH_POSTGRES"], "langgraph", fresh=not args.again)
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool = AsyncConnectionPool(database.url, min_size=4, max_size=20, timeout=600, open=False, kwargs=options)
    await stack.enter_async_context(pool)
    saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
    return saver, database


async def main(args: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        saver, database = await _saver(args, stack)
        await saver.setup()
        chat = await stack.enter_async_context(Chat(args.model))
        system = LangGraph(args, chat, saver, database)
        await drive(args, system, system)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments()))
