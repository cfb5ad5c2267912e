"""A function that never returns, in a process that has started another one."""

import os
import subprocess
import time
from pathlib import Path


def hang() -> str:
    """Hangs."""
    child = subprocess.Popen(["sleep", "1000"])
    Path(os.environ["IDS"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(1000)
    return "never"
