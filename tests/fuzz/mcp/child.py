"""A strange server as a real process: `python -m tests.fuzz.mcp.child SEED`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from tests.fuzz.mcp.server import Deed, Die, Server, Write


def do(deeds: Iterable[Deed]) -> None:
    """Does them, until one is the end."""
    for deed in deeds:
        match deed:
            case Write(data):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            case Die(None):
                os.close(1)
            case Die(code):
                os._exit(code or 0)


def main() -> None:
    """Until its stdin ends."""
    server = Server(int(sys.argv[1]))
    do(server.starts())
    for line in sys.stdin.buffer:
        do(server.hears(line))


if __name__ == "__main__":
    main()
