# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of Debian's on loopback, with a password, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.peers.process import free_port

PASSWORD = "p%40ss word"
ACCOUNT = "postgres"
"""Whose server it is: PostgreSQL does not run as root."""
WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs."""

    port: int

    @property
    def url(self) -> str:
        """As a front end's settings have it."""
        password = PASSWORD.replace("%", "%25").replace(" ", "%20")
        return f"postgres://{ACCOUNT}:{password}@127.0.0.1:{self.port}/postgres"

    def ask(self, sql: str) -> list[list[str]]:
        """Run SQL; gives the rows of what it selects."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"],
            input=sql,
            env={
                **os.environ,
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port),
                "PGUSER": ACCOUNT,
                "PGPASSWORD": PASSWORD,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


def programs() -> Path | None:
    """Where the server's programs are; Debian has them in no path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found and shutil.which("psql") else None


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A fresh server while the block runs; needs root."""
    there = programs()
    assert there
    with TemporaryDirectory(prefix="dialin-postgres-") as name:
        folder = Path(name)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret):
            shutil.chown(path, ACCOUNT)
        data = folder / "data"
        subprocess.run(
            [
                *(there / "initdb", "-D", data, "-U", ACCOUNT, "-A", "scram-sha-256"),
                *("--no-sync", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8"),
            ],
            check=True,
            capture_output=True,
            user=ACCOUNT,
            cwd=folder,
        )
        port = free_port()
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        command = [str(there / "postgres"), "-D", str(data), "-p", str(port), "-F", *options]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, user=ACCOUNT, cwd=folder)
        try:
            _await_port(port)
            yield Postgres(port)
        finally:
            server.terminate()
            server.wait(timeout=WITHIN_S)


def _await_port(port: int) -> None:
    until = time.monotonic() + WITHIN_S
    ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        assert time.monotonic() < until, "PostgreSQL does not start"
