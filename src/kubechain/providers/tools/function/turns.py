"""Whose turn it is to read, of the threads that share a socket: one at a time, and none is woken in vain.

The function worker calls it. A lock would do; but whoever lets go of a lock wakes the next thread at once, which
then stands in the way of the function that is about to run. The kernel wakes one when there is something to read.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from contextlib import AbstractContextManager

if sys.platform == "linux":

    class _Armed:
        """An epoll that names its socket once, to one thread, and is armed again when that thread has read."""

        def __init__(self, connection: socket.socket) -> None:
            self._connection = connection
            self._poll = select.epoll()
            self._poll.register(connection, select.EPOLLIN | select.EPOLLONESHOT)

        def __enter__(self) -> None:
            self._poll.poll(maxevents=1)

        def __exit__(self, *_: object) -> None:
            self._poll.modify(self._connection, select.EPOLLIN | select.EPOLLONESHOT)


def turns(connection: socket.socket) -> AbstractContextManager[object]:
    """`with` it, exactly what was sent as one is to be read; what follows that is the next thread's."""
    return _Armed(connection) if sys.platform == "linux" else threading.Lock()
