"""Threads that share a socket: each message is read by one of them, and never by two at a time."""

from __future__ import annotations

import queue
import socket
import threading

import pytest

from kubechain.providers.tools.function.reading import one_reader

PATIENCE = 20.0


class Crew:
    """So many threads that read a byte each, again and again, and say what they read."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self.read: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.go_on = threading.Semaphore(0)
        self.inside = self.most = 0
        self._connection, self._turns = connection, one_reader(connection)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while True:
            with self._turns:
                self.inside += 1
                self.most = max(self.most, self.inside)
                data = self._connection.recv(1)
                self.read.put(data)
                self.go_on.acquire(timeout=PATIENCE)
                self.inside -= 1
            if not data:
                return

    def join(self) -> bool:
        for thread in self._threads:
            thread.join(PATIENCE)
        return not any(thread.is_alive() for thread in self._threads)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_each_message_is_read_once_in_order_by_one_thread_at_a_time(size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        crew = Crew(theirs, size)
        ours.sendall(b"abcdefgh")
        found = []
        for _ in range(8):
            found.append(crew.read.get(timeout=PATIENCE))
            crew.go_on.release()
        ours.sendall(b"i")
        found.append(crew.read.get(timeout=PATIENCE))
        crew.go_on.release()
        ours.shutdown(socket.SHUT_WR)
        for _ in range(size):
            crew.go_on.release()
        assert b"".join(found) == b"abcdefghi"
        assert crew.join()  # every one of them hears of the end
        assert crew.most == 1
