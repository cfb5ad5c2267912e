"""Runs uvicorn inside the program: it handles no signals, and stops when the block ends.

Called by `http` (the embedded API server) and `probes` (health and metrics of the operator). Does not depend on
paths.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from kubechain.errors import SettingsError


def _nothing() -> None:
    """Does nothing before the server stops."""


@asynccontextmanager
async def serving(
    application: ASGIApp,
    host: str,
    port: int,
    *,
    certificate: Path | None = None,
    private_key: Path | None = None,
    before_stop: Callable[[], None] = _nothing,
) -> AsyncIterator[int]:
    """Answers requests until the block ends, then gives open requests two seconds. Yields the port.

    Raises SettingsError if the address or the certificate cannot be used.
    """
    import uvicorn  # half the weight of this module: only a server pays for it

    from kubechain.server.guard import Guarded
    from kubechain.server.quiet import Embedded

    listening = _listen(host, port)
    config = uvicorn.Config(
        application,
        http=Guarded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )
    _load(config, listening)
    server = Embedded(config)
    running = asyncio.create_task(server.serve(sockets=[listening]), name="http-server")
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
    try:
        if running.done():
            await running
        yield listening.getsockname()[1]
    finally:
        ready.cancel()
        before_stop()
        server.should_exit = True
        server.over.set()
        await running


def _load(config: Any, listening: socket.socket) -> None:
    """Reads the TLS files. Raises SettingsError."""
    try:
        config.load()
    except OSError as error:
        listening.close()
        text = f"cannot use the certificate {config.ssl_certfile} with the key {config.ssl_keyfile}"
        raise SettingsError(f"{text}: {error}; remove both files, and start again to get new ones") from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setblocking(False)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listening
