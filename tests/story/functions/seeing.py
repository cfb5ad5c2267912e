"""A tool that tells what its process can see without asking anybody."""

from __future__ import annotations

import json
import os
from pathlib import Path


def look() -> str:
    """Tells variables, open files, folder and command line."""
    files = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            files[link.name] = str(link.readlink())
        except OSError:  # the listing's own
            continue
    command = Path("/proc/self/cmdline").read_bytes().decode(errors="replace")
    return json.dumps({"env": dict(os.environ), "files": files, "folder": str(Path.cwd()), "command": command})
