"""Functions of the crash stories: each leaves a line in a journal, under its idempotency key."""

from __future__ import annotations

import os
import socket


def note(message: str, idempotency_key: str) -> str:
    """Appends a line to a file: an effect that can be counted from outside.

    Args:
        message: what is noted.
    """
    with open(os.environ["JOURNAL"], "a") as journal:  # noqa: PTH123
        journal.write(f"{idempotency_key} {message}\n")
    return f"noted {message}"


def note_much(message: str, idempotency_key: str) -> str:
    """Notes it and returns forty thousand characters.

    Args:
        message: what is noted.
    """
    return f"{note(message, idempotency_key)}: ".ljust(40_000, "x")


def tell(message: str, idempotency_key: str) -> str:
    """Tells it to whoever listens, and goes on once that one agrees.

    Args:
        message: what is told.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.connect(os.environ["JOURNAL"])
        listener.sendall(f"{idempotency_key} {message}\n".encode())
        listener.recv(1)
    return f"noted {message}"
