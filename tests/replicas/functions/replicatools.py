"""The tool of the replica stories: what it does must not happen twice, and it takes a while after that."""

import os
import time


def send(run: str, n: int, size: int) -> str:
    """Leaves a line in the journal, then dawdles."""
    line = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, f"{run} {n}\n".encode())
    os.close(line)
    time.sleep(float(os.environ["SECONDS"]))
    return f"{n:0{size}d}"
