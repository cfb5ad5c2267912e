"""Lets threads share a socket: one of them reads at a time, and a thread is woken only when there is data to read.

The tool process calls it. A lock would be correct, too. But releasing a lock wakes the next thread at once,
and that thread then delays the function that is about to run.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from contextlib import AbstractContextManager

if sys.platform == "linux":

    class _Armed:
        """An epoll that reports its socket to one thread only, until that thread has read."""

        def __init__(self, connection: socket.socket) -> None:
            self._connection = connection
            self._poll = select.epoll()
            self._poll.register(connection, select.EPOLLIN | select.EPOLLONESHOT)

        def __enter__(self) -> None:
            self._poll.poll(maxevents=1)

        def __exit__(self, *_: object) -> None:
            self._poll.modify(self._connection, select.EPOLLIN | select.EPOLLONESHOT)


def one_reader(connection: socket.socket) -> AbstractContextManager[object]:
    """A context manager for one thread. In it, read exactly one frame; the next frame is for the next thread."""
    return _Armed(connection) if sys.platform == "linux" else threading.Lock()
