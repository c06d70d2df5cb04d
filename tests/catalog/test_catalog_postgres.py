"""A real PostgreSQL, started for these tests on a socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hanse.catalog import (
    Condition,
    Dataset,
    EventGroup,
    LabelRequest,
    RowRequest,
    read_rows,
    register,
)
from hanse.errors import Fault

DRIVER = find_spec("adbc_driver_postgresql") is not None
ID = {"column": "phone", "type": "phone", "region": "CN"}
COLUMNS = [
    {"name": "seen", "column": "seen at", "kind": "time"},
    {"name": "spent", "column": "spent", "kind": "amount", "scale": 100},
    {"name": "channel", "column": "channel", "kind": "category"},
    {"name": "member", "column": "member", "kind": "boolean"},
]
TABLE = """
CREATE TYPE media AS ENUM ('tv', 'mail');
CREATE TABLE visits (phone varchar(20), "seen at" timestamptz, spent numeric(12, 4), channel media,
                     member boolean, code uuid, secret text);
INSERT INTO visits VALUES
  ('13812345678', '2017-01-02 08:00:00+08', 12.34, 'tv', true, gen_random_uuid(), 'x'),
  ('+86 138 1234 5678', '2017-01-03 00:00:00Z', 0.5, 'mail', false, gen_random_uuid(), 'x'),
  ('13900000000', '2017-01-04 00:00:00Z', NULL, NULL, NULL, gen_random_uuid(), 'x'),
  ('1', NULL, 3, 'tv', true, gen_random_uuid(), 'x');
CREATE TABLE nothing (phone text);
CREATE TABLE numbers AS SELECT generate_series(1, 200000) AS n;
CREATE ROLE reader LOGIN;
GRANT SELECT ON nothing TO reader;
GRANT SELECT (phone, "seen at") ON visits TO reader;
"""


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, if PostgreSQL's server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of a running server with the table `visits`."""
    binaries = programs()
    if not DRIVER:
        pytest.skip('the PostgreSQL driver is not installed: pip install "hanse[postgres]"')
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as the superuser
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no account postgres to run the server as")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder = Path("/tmp") / f"hanse-postgres-{os.getpid()}"  # noqa: S108 - socket paths must be short
    folder.mkdir(mode=0o700)
    if user:
        os.chown(folder, user["user"], user["group"])
    data, log = folder / "data", folder / "log"

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder, **user)  # noqa: S603

    dsn = f"host={folder} dbname=postgres user=owner"
    try:
        run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "owner",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
        try:
            run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", TABLE)
            yield dsn
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dataset(dsn: str, table: str = "visits", **fields: Any) -> Dataset:
    document = {
        "name": "visits",
        "source": {"dsn": dsn, "table": table},
        "ids": [ID],
        "columns": COLUMNS,
        "classification": "personal",
        "description": "a table",
        "legal_basis": "consent",
        "evidence": "register of consents",
    }
    return Dataset.model_validate(document | fields)


def fault(described: Dataset) -> Fault:
    with pytest.raises(Fault) as caught:
        register(described)
    assert caught.value.remedy
    return caught.value


def test_a_table_is_registered_and_read_like_a_file(server: str) -> None:
    profile = register(dataset(server))
    assert profile.rows == 4
    assert profile.ids["phone"].model_dump(include={"distinct", "duplicates", "empty"}) == {
        "distinct": 2, "duplicates": 1, "empty": 0,
    }  # fmt: skip
    assert profile.columns["spent"].maximum == 1234
    assert profile.columns["seen"].first == datetime(2017, 1, 2, tzinfo=UTC)
    visit = EventGroup(
        name="visit", time="seen", origin=datetime(2017, 1, 1, tzinfo=UTC), unit_seconds=86_400
    )
    label = LabelRequest(name="channel", column="channel", values=("mail", "tv"))
    rows = read_rows(
        dataset(server), RowRequest(id_type="phone", capacity=5, events=(visit,), labels=(label,))
    )
    assert sorted(tuple(t) for t in rows.events["visit"].times.tolist()) == [
        (1, 2, 0, 0),
        (3, 0, 0, 0),
    ]
    assert sorted(rows.labels["channel"].tolist()) == [0, 1]
    rich = visit.model_copy(update={"where": (Condition(column="spent", at_least=1000),)})
    assert (
        read_rows(
            dataset(server), RowRequest(id_type="phone", capacity=5, events=(rich,))
        ).report.people
        == 1
    )


def test_many_rows_come_in_batches(server: str) -> None:
    many = dataset(server, table="numbers", ids=[{"column": "n", "type": "household"}], columns=[])
    assert register(many).ids["n"].distinct == 200_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"table": "visit"}, "catalog.missing-table"),
        ({"table": 'visits"; DROP TABLE visits; --'}, "catalog.missing-table"),
        ({"table": "nothing"}, "catalog.missing-column"),
        ({"table": "nothing", "columns": []}, "catalog.no-rows"),
        ({"ids": [{"column": "Phone", "type": "phone"}]}, "catalog.missing-column"),
        ({"ids": [{"column": "member", "type": "household"}]}, "catalog.wrong-type"),
        ({"columns": [{"name": "seen", "column": "spent", "kind": "time"}]}, "catalog.malformed"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    server: str, changes: dict[str, Any], code: str
) -> None:
    assert fault(dataset(server, **changes)).code == code


def test_columns_that_may_not_be_read(server: str) -> None:
    as_reader = server.replace("user=owner", "user=reader")
    allowed = register(dataset(as_reader, columns=COLUMNS[:1]))
    assert allowed.rows == 4
    error = fault(dataset(as_reader, ids=[{"column": "secret", "type": "household"}], columns=[]))
    assert error.code in {"catalog.permission", "catalog.missing-column"}
    assert "secret" not in error.message.replace("'secret'", "")


def test_a_database_that_is_not_there(server: str) -> None:
    error = fault(dataset(server.replace("dbname=postgres", "dbname=absent")))
    assert error.code == "catalog.connection"
    gone = fault(dataset("host=/nonexistent dbname=postgres user=owner"))
    assert gone.code == "catalog.connection"
    assert "/nonexistent" not in gone.message


def test_without_the_driver_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("hanse.catalog.postgres.importlib.import_module", missing)
    error = fault(dataset("dbname=postgres"))
    assert error.code == "catalog.postgres"
    assert "hanse[postgres]" in error.remedy
