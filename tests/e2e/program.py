"""The installed program, run as users run it: its own process, its own HOME and state.

Used by the tests of this folder. Every wait has an end; nothing outlives the test that started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KUBECHAIN = (sys.executable, "-m", "kubechain.cli.main")
SECONDS = 60


@dataclass(frozen=True)
class Program:
    """`kubechain` and `kubectl` with a HOME of their own."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Further variables of its environment."""

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        return kept | {"HOME": str(self.home), "TMPDIR": str(self.home), "NO_COLOR": "1"} | dict(self.more)

    @property
    def kubeconfig(self) -> Path:
        return self.home / ".local/state/kubechain/kubeconfig"

    def __call__(self, *words: str, stdin: str = "", seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Runs `kubechain WORDS` to its end."""
        return self._run([*KUBECHAIN, *words], stdin, seconds)

    def ok(self, *words: str, stdin: str = "") -> str:
        """What `kubechain WORDS` prints; it must succeed."""
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, f"kubechain {' '.join(words)}: {done.stderr}"
        return done.stdout

    def kubectl(self, binary: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs an unmodified kubectl against the same server."""
        return self._run([str(binary), "--kubeconfig", str(self.kubeconfig), *words], stdin, SECONDS)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts `kubechain WORDS` in a session of its own."""
        return subprocess.Popen(
            [*KUBECHAIN, *words],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[str]:
        """Command lines of living processes that mention this HOME (Linux)."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home) in line:
                found.append(line)
        return found

    def _run(self, argv: list[str], stdin: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=self.env, input=stdin, capture_output=True, text=True, timeout=seconds)


@contextmanager
def up(home: Path) -> Iterator[Program]:
    """A program whose `kubechain up --detach` serves with the scripted model."""
    program = Program(home)
    program.ok("up", "--detach", "--port", "0", "--model", "scripted")
    try:
        yield program
    finally:
        program.ok("down")
