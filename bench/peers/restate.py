"""Restate: its server and a Python service as children of this driver, spoken to over the server's ingress.

$BENCH_RESTATE names the server's binary. `park` waits until the server has suspended the waiting runs, as it does
after a minute of inactivity: only then do they cost the service nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench.arguments import arguments
from bench.job import Shape
from bench.peers.drive import Local, drive, until_asked
from bench.process import Child, free_ports, size, tree, written

_AT_ONCE = 200
_SUSPENDED = 70.0
"""Seconds after which a waiting run has left the service: inactivity-timeout is a minute."""
_CONFIG = """
bind-ip = "127.0.0.1"
bind-port = {node}
disable-telemetry = true
[ingress]
bind-address = "127.0.0.1:{ingress}"
[admin]
bind-address = "127.0.0.1:{admin}"
"""


class Restate(Local):
    def __init__(self, args: argparse.Namespace, session: aiohttp.ClientSession) -> None:
        super().__init__(Path(args.dir))
        self.args, self.session, self.asked = args, session, 0
        self.shape = Shape(args.turns, args.size, args.wait)
        self.ports = self._ports()
        config = self.folder / "restate.toml"
        config.write_text(_CONFIG.format(**self.ports))
        data = self.folder / "restate"
        self.server = Child(
            [os.environ["BENCH_RESTATE"], "--no-logo", "--config-file", config, "--base-dir", data],
            self.folder / "server.log",
        )
        bind = f"127.0.0.1:{self.ports['service']}"
        hypercorn = [sys.executable, "-m", "hypercorn", "--log-level", "ERROR", "--bind", bind]
        self.service = Child(
            [*hypercorn, "bench.peers.restate_service:app"],
            self.folder / "service.log",
            {"BENCH_MODEL": args.model},
        )  # fmt: skip

    def _ports(self) -> dict[str, int]:
        """The same ones after a kill: the server remembers where its service is."""
        kept = self.folder / "ports"
        if not kept.exists():
            kept.write_text(" ".join(map(str, free_ports(4))))
        return dict(zip(("node", "ingress", "admin", "service"), map(int, kept.read_text().split()), strict=True))

    @property
    def ingress(self) -> str:
        return f"http://127.0.0.1:{self.ports['ingress']}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.ports['admin']}"

    async def answer(self) -> None:
        """Returns when server and service answer and know each other."""
        await self._up(f"{self.admin}/health")
        await self._up(f"{self.ingress}/restate/health")
        await self._up(f"http://127.0.0.1:{self.ports['service']}/")
        if not self.args.again:
            body = {"uri": f"http://127.0.0.1:{self.ports['service']}", "force": True}
            async with self.session.post(f"{self.admin}/deployments", json=body) as answer:
                assert answer.status < 300, await answer.text()

    async def _up(self, url: str) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    async with self.session.get(url) as answer:
                        if answer.status < 500:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def _post(self, path: str, body: Any) -> Any:
        async with self.session.post(f"{self.ingress}/{path}", json=body) as answer:
            assert answer.status < 300, f"{path}: {answer.status} {await answer.text()}"
            return await answer.json(content_type=None)

    async def _send(self, run: str, waits: bool) -> None:
        await self._post(f"agent/{run}/run/send", {"model": self.shape.model, "waits": waits})

    async def _attach(self, run: str) -> str:
        async with self.session.get(f"{self.ingress}/restate/workflow/agent/{run}/attach") as answer:
            return str(await answer.json(content_type=None))

    async def one(self, run: str) -> str:
        return str(await self._post(f"agent/{run}/run", {"model": self.shape.model}))

    async def many(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self.one(run) for run in runs)))

    async def park(self, runs: list[str]) -> None:
        for first in range(0, len(runs), _AT_ONCE):
            await asyncio.gather(*(self._send(run, True) for run in runs[first : first + _AT_ONCE]))
        self.asked += len(runs)
        await until_asked(self.args.model, self.asked)
        await asyncio.sleep(_SUSPENDED)

    async def approve(self, runs: list[str]) -> list[str]:
        for first in range(0, len(runs), _AT_ONCE):
            some = runs[first : first + _AT_ONCE]
            await asyncio.gather(*(self._post(f"agent/{run}/approve", True) for run in some))
        return list(await asyncio.gather(*(self._attach(run) for run in runs)))

    async def recover(self, runs: list[str]) -> list[str]:
        return list(await asyncio.gather(*(self._go_on(run) for run in runs)))

    async def _go_on(self, run: str) -> str:
        """A run that was killed before the server had taken it is asked for again."""
        async with self.session.get(f"{self.ingress}/restate/workflow/agent/{run}/attach") as answer:
            if answer.status < 300:
                return str(await answer.json(content_type=None))
            said = f"{answer.status} {await answer.text()}"
        return await self.one(run) if said.startswith("404") else said

    def pids(self) -> list[int]:
        return [*tree(self.server.pid), *tree(self.service.pid)]

    def disk(self) -> tuple[float, float]:
        return written(tree(self.server.pid)), size(self.folder / "restate")


async def main(args: argparse.Namespace) -> None:
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=900)) as session:
        system = Restate(args, session)
        with system.server, system.service:
            await system.answer()
            await drive(args, system, system)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments()))
