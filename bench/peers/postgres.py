"""A PostgreSQL of the machine, run for one measurement: a fresh cluster in a folder, defaults but for its address.

`Cluster` starts and stops it (the orchestrator does), `Database` is one database of it (the drivers do). The
standard library and the machine's own psql; nothing is left behind.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import lift, tree

_USER = "postgres"
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 300
"""


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, on the PATH or where Debian keeps them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def why_missing() -> str:
    """ "" when a server can be run here, else the reason in one line."""
    if binaries() is None or shutil.which("psql") is None:
        return "no PostgreSQL on this machine (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and not any(entry.pw_name == _USER for entry in pwd.getpwall()):
        return f"PostgreSQL refuses to run as root and there is no user {_USER}"
    return ""


class Cluster:
    """A server on a free port of 127.0.0.1, its data in `folder`."""

    def __init__(self, folder: Path, port: int) -> None:
        """`folder` must be reachable for the server's user."""
        place = binaries()
        assert place is not None, why_missing()
        self.place, self.folder, self.port = place, folder, port
        self.url = f"postgresql://{_USER}@127.0.0.1:{port}"
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        self._run("initdb", "--auth=trust", f"--username={_USER}", "--pgdata", self.data)
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(_CONFIG.format(port=port))
        self._run("pg_ctl", "--pgdata", self.data, "--log", folder / "log", "--wait", "start")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Meanwhile its processes come before the rest of a shared machine, as those of the other systems do."""
        done = threading.Event()
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])

        def watch() -> None:
            while not done.wait(0.25):
                lift(tree(postmaster))

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()

    def stop(self) -> None:
        self._run("pg_ctl", "--pgdata", self.data, "--mode", "immediate", "--wait", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str | Path) -> None:
        """Runs one of PostgreSQL's programs as its user; what it says goes to a file."""
        command = [str(self.place / program), *map(str, words)]
        user = _USER if os.geteuid() == 0 else None
        with (self.folder / "said").open("ab") as said:
            done = subprocess.run(command, user=user, cwd="/", stdout=said, stderr=said, timeout=120, check=False)
        if done.returncode != 0:
            words_ = (self.folder / "said").read_text(errors="replace")[-500:]
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {words_}")


class Database:
    """One database of a running server."""

    def __init__(self, server: str, name: str, *, fresh: bool) -> None:
        self.server, self.name, self.url = server, name, f"{server}/{name}"
        if fresh:
            self._ask("postgres", f"drop database if exists {name} with (force)")
            self._ask("postgres", f"create database {name}")

    def disk(self) -> tuple[float, float]:
        """Megabytes written to the log of the server so far, megabytes of this database."""
        log = self._ask("postgres", "select pg_current_wal_lsn() - '0/0'::pg_lsn")
        return float(log) / 1e6, float(self._ask("postgres", f"select pg_database_size('{self.name}')")) / 1e6

    def _ask(self, database: str, question: str) -> str:
        command = ["psql", "--no-psqlrc", "-Atqc", question, f"{self.server}/{database}"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
