"""A real PostgreSQL server, started for tests on a socket of its own, with a new database for whoever asks."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Server:
    """A running server. ``socket`` is the folder of its socket."""

    socket: Path
    binaries: Path
    user: dict[str, Any]
    made: int = field(default=0)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self.made += 1
        self.again(f"store_{self.made}")
        return self.url(f"store_{self.made}")

    def again(self, name: str) -> None:
        """The database ``name``, new and empty, whoever is connected to an older one."""
        import psycopg

        with psycopg.connect(
            f"host={self.socket} dbname=postgres user=owner", autocommit=True
        ) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://owner@/{name}?host={self.socket}"

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.socket} -c fsync=off"
        self._run(
            "pg_ctl",
            "-D",
            str(self._data),
            "-l",
            str(self.socket / "log"),
            "-w",
            "-o",
            options,
            "start",
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def make(self) -> None:
        self._run("initdb", "-D", str(self._data), "-U", "owner", "-A", "trust", "--no-sync", "-E", "UTF8",
                  "--locale=C")  # fmt: skip

    @property
    def _data(self) -> Path:
        return self.socket / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, timeout=60, cwd=self.socket, **self.user
        )


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextmanager
def running() -> Iterator[Server]:
    """A server until the block is left; the test is skipped where there is none, with the reason."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    if find_spec("psycopg") is None:
        pytest.skip('the PostgreSQL driver is not installed: pip install "hanse[postgres]"')
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as the superuser
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no account postgres to run the server as")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # Not in pytest's folder: the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="hanse-store-"))
    if user:
        os.chown(folder, user["user"], user["group"])
    server = Server(folder, binaries, user)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
