"""Upgrades: a store of every older schema, with data in all of its tables, becomes one of today and loses nothing.

On SQLite and on PostgreSQL; then backups and moves from the one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from postgres_server import Server, running
from sqlalchemy import inspect, text

from hanse.clock import ManualClock, SystemClock
from hanse.entropy import SeededEntropy, SystemEntropy
from hanse.errors import Refusal
from hanse.ledger import Ledger
from hanse.node.backup import back_up, move_store, restore
from hanse.node.faces import facade
from hanse.node.faces.listing import job_page
from hanse.node.faces.users import UserDesk, user_desk
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.products.consumers import Consumer
from hanse.node.products.publications import Figure
from hanse.node.storage.database import Database, open_sqlite, open_url
from hanse.node.storage.rows import to_text, to_time
from hanse.node.storage.store import Store
from hanse.node.storage.tables import MIGRATIONS, Migration
from hanse.serving.app import create_app

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WORD, WORDS = "a heron reads the ledger", "correct horse battery"
Open = Callable[[tuple[Migration, ...]], Database]
BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("identity")
    return create_identity(folder, "media", "X", clock=ManualClock(NOW), entropy=SeededEntropy("s"))


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens one database with the first so many migrations."""
    if request.param == "sqlite":
        return lambda migrations: open_sqlite(tmp_path, migrations)
    url = request.getfixturevalue("server").database()
    return lambda migrations: open_url(url, migrations)


def rows(identity: Identity) -> dict[str, list[dict[str, Any]]]:
    """Rows as older versions of this program wrote them, by table; columns that came later are not in them."""
    at = to_time(NOW)
    figure = {
        "product": "crowd",
        "place": "north",
        "date": "2026-02-01",
        "confidence": 0.9,
        "at": at,
        "reason": "",
    }
    return {
        "partners": [{"party": "retail", "card": to_text(identity.card.document()), "host": "shop.example",
                      "port": 7470, "added": at}],
        "datasets": [{"name": "exposures", "registration": '{"file":"a.csv"}', "added": at}],
        "contracts": [{"id": "spring", "version": v, "hash": f"{v}" * 64, "state": "live", "bundle": '{"a":1}',
                       "changed": at} for v in (1, 2)],
        "jobs": [{"job": "a" * 64, "attempt": n, "state": s, "contract": "1" * 64, "request": '{"k":100}',
                  "result": '{"reach":5}' if s == "done" else None, "created": at}
                 for n, s in ((1, "failed"), (2, "done"))],
        "job_log": [{"job": "a" * 64, "attempt": 2, "number": n, "at": at, "level": "info", "message": f"line {n}"}
                    for n in (1, 2)],
        "answers": [{"key": "question", "answer": '{"value":7}', "added": at}],
        "crowds": [{"name": "runners", "version": 1, "state": "held", "package": '{"x":1}'}],
        "standing": [{"name": "weekly", "query": '{"q":1}', "last": "{}"}],
        "users": [{"name": "ada", "shown": "Ada", "department": "Law", "roles": '["legal"]', "state": "active",
                   "password": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(WORD),
                   "code": None, "code_step": 0, "created": at}],
        "tries": [{"name": "nobody", "failed": 3, "until": at}],
        "sessions": [{"handle": "f" * 64, "user_name": "ada", "form": "form", "began": at, "seen": at}],
        "models": [{"job": "c" * 64, "name": "churn", "version": 1, "state": "deleted",
                    "note": '{"contract":"spring"}', "document": None}],
        "products": [{"name": "crowd", "about": '{"title":"Crowd"}', "version": 2, "changed": at}],
        "published": [
            {"number": 1, "version": 1, "state": "published", "value": 100.25, "low": 9.0, "high": 1e2, **figure},
            {"number": 2, "version": 2, "state": "published", "value": 0.1 + 0.2, "low": 0, "high": 9e9, **figure},
            {"number": 3, "version": 1, "state": "abstained", **figure, "place": "south", "reason": "too few"},
        ],
        "consumers": [{"name": "dashboards", "key": "e" * 64, "state": "live", "added": at,
                       "rules": '{"scopes":["crowds"],"products":[],"quota":5,"rate":1.0,"expires":null,'
                                '"contract":""}'}],
        "usage": [{"day": "2026-02-01", "consumer": "dashboards", "product": "crowd", "requests": 3,
                   "values": 5_000_000_000}],
        "webhooks": [{"name": "orders", "rules": '{"consumer":"dashboards","url":"https://a.example","product":"crowd"}',
                      "secret": "s", "sent": 2, "tries": 0, "due": at, "problem": ""}],
    }  # fmt: skip


def fill(database: Database, identity: Identity) -> dict[str, list[dict[str, Any]]]:
    """Put rows into every table that there is; what was put."""
    with database.reading() as connection:
        there = set(inspect(connection).get_table_names())
    put = {table: found for table, found in rows(identity).items() if table in there}
    with database.writing() as connection:
        for table, found in put.items():
            for row in found:
                names = ", ".join(f'"{n}"' for n in row)
                values = ", ".join(f":{n}" for n in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    store_ledger = Ledger(Store(database).ledger, identity.signing_key, ManualClock(NOW))
    for number in range(5):
        store_ledger.append("note", {"number": number})
    return put


def content(database: Database, table: str) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))]


def test_every_table_has_rows_in_the_oldest_schema_that_has_it(
    identity: Identity, tmp_path: Path
) -> None:
    database = open_sqlite(tmp_path)
    with database.reading() as connection:
        there = set(inspect(connection).get_table_names())
    known = set(rows(identity)) | {
        "meta",
        "ledger",
        "sign_ons",
        "product_days",
    }  # the last two are new
    assert there == known
    database.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_store_of_any_older_schema_is_brought_up_to_today(
    place: Open, identity: Identity, version: int
) -> None:
    old = place(MIGRATIONS[:version])
    assert old.schema_version() == version
    put = fill(old, identity)
    old.close()
    store = Store(place(MIGRATIONS))
    try:
        assert store.database.schema_version() == len(MIGRATIONS)
        for table, found in put.items():
            assert [
                {k: row[k] for k in first}
                for first, row in zip(found, content(store.database, table), strict=True)
            ] == found, table
        ledger = Ledger(store.ledger, identity.signing_key, ManualClock(NOW))
        assert ledger.verify(identity.card.signing_key).ok
        assert [e.body["number"] for e in ledger.entries("note")] == list(range(5))
        works_today(store, identity, put)
    finally:
        store.close()


def works_today(store: Store, identity: Identity, put: dict[str, Any]) -> None:
    """What today's program does with rows of an older one."""
    (partner,) = store.partners.all()
    assert (partner.address, partner.holds, partner.is_confirmed) == (
        ("shop.example", 7470),
        (),
        False,
    )
    assert store.contracts.get("spring").version == 2  # type: ignore[union-attr]
    assert [r["attempt"] for r in job_page(store.database, state="done").rows] == [2]
    assert [line.message for line in store.jobs.lines("a" * 64, 2)] == ["line 1", "line 2"]
    store.jobs.log("a" * 64, 2, "info", "line 3", NOW)
    assert store.answers.get("question") == {"value": 7}
    clock, cheap = ManualClock(NOW), PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    ledger = Ledger(store.ledger, identity.signing_key, clock)
    users = UserDesk(store, ledger, identity, clock, hasher=cheap)
    if "users" in put:
        assert users.sign_in("ada", WORD).user.roles == ("legal",)
    store.sign_ons.put("https://login.example", "subject", "ada", NOW)
    if "published" in put:
        assert store.publications.dates("crowd", 9) == [("2026-02-01", 1, 1)]
        assert [c.figure.value for c in store.publications.days("crowd", "north")] == [0.1 + 0.2]
        (used,) = store.consumers.usage(date(2026, 2, 1), date(2026, 2, 1))
        assert used["values"] == 5_000_000_000
        assert store.webhooks.all()[0].sent == 2
    assert (
        store.publications.publish(
            "crowd", {"title": "x"}, [Figure("west", date(2026, 2, 1), 5.0)], NOW
        )
        == 1
    )
    assert store.publications.dates("crowd", 9)[0][1] == (2 if "published" in put else 1)


def test_an_upgrade_that_fails_leaves_the_older_store_as_it_was(
    place: Open, identity: Identity
) -> None:
    old = place(MIGRATIONS)
    fill(old, identity)
    old.close()
    broken = Migration("broken", ("ALTER TABLE datasets ADD COLUMN note TEXT", "UPDATE datasets SET note = 'x'",
                                  "INSERT INTO no_such_table VALUES (1)"))  # fmt: skip
    with pytest.raises(Exception, match="store"):
        place((*MIGRATIONS, broken))
    again = place(MIGRATIONS)
    assert "note" not in content(again, "datasets")[0]
    assert len(content(again, "ledger")) == 5
    again.close()


# --- from one to the other --------------------------------------------------------------------------


def node_with_history(folder: Path) -> Path:
    facade.create_node(folder, "media-house", "A media house", None)
    with facade.office_of(folder) as office:
        for number in range(40):
            office.ledger.append("note", {"number": number})
        users = user_desk(office)
        _, password = users.add("ada", "Ada", "Law", ["legal"], "tests")
        users.choose_password(users.sign_in("ada", password), password, WORD)
        office.store.publications.publish(
            "crowd",
            {"title": "Crowd"},
            [Figure(f"p{n}", date(2026, 2, 1), n + 0.1) for n in range(50)],
            NOW,
        )
        office.store.jobs.create(
            "a" * 64, 1, contract="b" * 64, request={"q": 1}, state="done", at=NOW
        )
        office.store.jobs.log("a" * 64, 1, "info", "admitted", NOW)
    return folder


def use(folder: Path, url: str) -> None:
    path = folder / "hanse.toml"
    path.write_text(path.read_text() + f'\n[store]\nurl = "{url}"\n')


def check(folder: Path, entries: int) -> None:
    """The node has its history, and goes on."""
    with facade.office_of(folder) as office:
        assert facade.verify_ledger(office).ok
        assert len(list(office.ledger.lines())) == entries
        assert user_desk(office).sign_in("ada", WORD).user.roles == ("legal",)
        assert office.store.publications.dates("crowd", 5) == [("2026-02-01", 50, 0)]
        assert [c.figure.value for c in office.store.publications.days("crowd", "p7")] == [7.1]
        assert [line.message for line in office.store.jobs.lines("a" * 64, 1)] == ["admitted"]


@pytest.fixture(scope="module")
def moved(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A node that was begun on SQLite and has moved to PostgreSQL."""
    folder, url = node_with_history(tmp_path_factory.mktemp("moved") / "node"), server.database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hanse.node.backup._BATCH", 16)  # more than one batch of a copy
        counts = move_store(folder, url)
    assert counts["ledger"] > 40
    assert (counts["published"], counts["product_days"], counts["users"]) == (50, 1, 1)
    use(folder, url)
    return folder, url


def test_a_node_moves_to_postgresql_and_goes_on(moved: tuple[Path, str]) -> None:
    folder, url = moved
    with facade.office_of(folder) as office:
        before = len(list(office.ledger.lines()))
    check(folder, before)
    with pytest.raises(Refusal) as refused:  # a second move would mix two records
        move_store(folder, url)
    assert refused.value.code == "store.not-empty"


def test_a_backup_of_a_node_on_postgresql_comes_back_there(
    moved: tuple[Path, str], server: Server, tmp_path: Path
) -> None:
    folder, url = moved
    with facade.office_of(folder) as office:
        before = len(list(office.ledger.lines()))
    back_up(folder, tmp_path / "backup", WORDS, SystemClock(), SystemEntropy())
    with pytest.raises(
        Refusal
    ) as refused:  # the database of the node that was backed up is still there
        restore(tmp_path / "backup", tmp_path / "early", WORDS)
    assert refused.value.code == "store.not-empty"
    server.again(url.partition("@/")[2].partition("?")[0])
    assert restore(tmp_path / "backup", tmp_path / "new", WORDS) == "media-house"
    check(tmp_path / "new", before)


def test_the_api_serves_from_postgresql(server: Server) -> None:
    store = Store(open_url(server.database()))
    figures = [Figure("north", date(2026, 2, n), 10.0 * n, 1.0, 500.0, 0.9) for n in range(1, 6)]
    store.publications.publish("crowd", {"title": "Crowd"}, figures, NOW)
    store.jobs.create("a" * 64, 1, contract="b", request={"contract_id": "spring", "computation": "funnel"},
                      state="running", at=NOW)  # fmt: skip
    store.jobs.move(
        "a" * 64, 1, of=["running"], to="done", finished=NOW, result={"result": {"n": 1}}
    )
    key = store.consumers.add(Consumer("all", ("crowds", "results")), SystemEntropy(), NOW)
    with TestClient(create_app(store, webhooks=False)) as client:
        headers = {"Authorization": f"Bearer {key}"}
        days = client.get("/v1/crowds/crowd/places/north", headers=headers).json()["figures"]
        assert [f["value"] for f in days] == [10.0, 20.0, 30.0, 40.0, 50.0]
        changes = client.get("/v1/crowds/crowd/changes?limit=2&after=2", headers=headers).json()
        assert ([f["number"] for f in changes["figures"]], changes["next"]) == ([3, 4], 4)
        (only,) = client.get("/v1/results", headers=headers).json()["results"]
        assert only["job"] == "a" * 64
    (used,) = [u for u in store.consumers.usage(date.min, date.max) if u["product"] == "crowd"]
    assert (used["requests"], used["values"]) == (2, 7)
    assert json.loads(json.dumps(used, default=str))["consumer"] == "all"
    store.close()
