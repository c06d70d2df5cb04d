"""The store: what is put in comes out, two writers never fork the ledger, a full disk says so."""

from __future__ import annotations

import errno
import itertools
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from postgres_server import Server, running
from sqlalchemy import inspect, text

from hanse.clock import ManualClock
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Refusal
from hanse.ledger import Ledger, StaleHeadError
from hanse.node.config import parse_config
from hanse.node.disk import writing_to
from hanse.node.identity.keys import create_identity, load_identity
from hanse.node.identity.partners import Partner
from hanse.node.products.publications import Figure
from hanse.node.storage.database import STORE_FILE, Database, open_sqlite, open_url
from hanse.node.storage.store import Store, open_store
from hanse.node.storage.tables import MIGRATIONS, Migration, metadata

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens one and the same store, as often as it is called, as other processes would."""
    stores: list[Store] = []
    url = request.getfixturevalue("server").database() if request.param == "postgresql" else None

    def make() -> Store:
        stores.append(Store(open_url(url) if url else open_sqlite(tmp_path / "data")))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


def ledger_of(store: Store, folder: Path) -> Ledger:
    clock = ManualClock(NOW)
    identity = create_identity(folder, "media", "X", clock=clock, entropy=SeededEntropy("s"))
    return Ledger(store.ledger, identity, clock)


def test_the_configuration_says_where_the_store_is(tmp_path: Path) -> None:
    config = parse_config('party = "media"\norganisation = "x"\nlisten = false', tmp_path)
    store = open_store(config)
    store.close()
    path = tmp_path / "data" / STORE_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_sqlite_is_durable(tmp_path: Path) -> None:
    store = Store(open_sqlite(tmp_path / "data"))
    with store.database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    store.close()


def test_a_line_of_a_log_belongs_to_a_job(store: Store) -> None:
    with pytest.raises(Fault):
        store.jobs.log("no-such-job", 1, "info", "x", NOW)


def test_partners_come_back_with_their_address(store: Store, tmp_path: Path) -> None:
    cards = [
        create_identity(
            tmp_path / name, name, "X", clock=ManualClock(NOW), entropy=SeededEntropy(name)
        ).card
        for name in ("retailer", "coupons")
    ]
    store.partners.put(Partner(cards[0], ("shop.example", 7470)), NOW)
    store.partners.put(Partner(cards[1]), NOW)
    assert store.partners.all() == [Partner(cards[1]), Partner(cards[0], ("shop.example", 7470))]
    store.partners.put(Partner(cards[0], ("other.example", 1)), NOW)
    assert store.partners.all()[1].address == ("other.example", 1)
    assert store.partners.remove("retailer")
    assert not store.partners.remove("retailer")


def test_datasets_are_replaced_by_name(store: Store) -> None:
    store.datasets.put("exposures", {"file": "a.csv"}, NOW)
    store.datasets.put("exposures", {"file": "b.csv"}, NOW)
    found = store.datasets.get("exposures")
    assert found is not None
    assert found.registration == {"file": "b.csv"}
    assert [one.name for one in store.datasets.all()] == ["exposures"]
    assert store.datasets.get("other") is None


def test_a_contract_version_keeps_its_text(store: Store) -> None:
    put = store.contracts.put
    put("spring", 1, hash="aa", state="draft", bundle={"signatures": {}}, at=NOW)
    put("spring", 1, hash="aa", state="live", bundle={"signatures": {"media": "ff"}}, at=NOW)
    put("spring", 2, hash="bb", state="draft", bundle={}, at=NOW)
    with pytest.raises(Refusal) as refusal:
        put("spring", 1, hash="cc", state="live", bundle={}, at=NOW)
    assert refusal.value.code == "contract.changed"
    first = store.contracts.get("spring", 1)
    newest = store.contracts.get("spring")
    assert first is not None
    assert newest is not None
    assert (first.state, first.bundle) == ("live", {"signatures": {"media": "ff"}})
    assert newest.version == 2
    assert store.contracts.by_hash("bb") == newest
    assert len(store.contracts.all()) == 2


def test_a_job_goes_through_its_states_once(store: Store) -> None:
    jobs = store.jobs
    jobs.create("j", 1, contract="aa", request={"k": 100}, state="waiting", at=NOW)
    with pytest.raises(Refusal) as refusal:
        jobs.create("j", 1, contract="aa", request={}, state="waiting", at=NOW)
    assert refusal.value.code == "job.exists"
    assert jobs.move("j", 1, of=["waiting"], to="running", started=NOW + timedelta(seconds=1))
    assert not jobs.move("j", 1, of=["waiting"], to="cancelled")
    assert jobs.move("j", 1, of=["running"], to="done", finished=NOW, result={"reach": 5})
    job = jobs.get("j")
    assert job is not None
    assert (job.state, job.result, job.error) == ("done", {"reach": 5}, None)
    assert job.started == NOW + timedelta(seconds=1)
    assert job.request == {"k": 100}
    jobs.create("j", 2, contract="aa", request={}, state="waiting", at=NOW)
    last = jobs.get("j")
    assert last is not None
    assert last.attempt == 2
    assert [one.attempt for one in jobs.all(states=["done"])] == [1]
    assert jobs.uses("aa", ["done", "waiting"]) == 2
    assert jobs.uses("aa", ["done"]) == 1


def test_log_lines_are_numbered_and_can_be_followed(store: Store) -> None:
    store.jobs.create("j", 1, contract="aa", request={}, state="waiting", at=NOW)
    for message in ("one", "two", "three"):
        store.jobs.log("j", 1, "info", message, NOW)
    assert [(line.number, line.message) for line in store.jobs.lines("j", 1, since=1)] == [
        (2, "two"),
        (3, "three"),
    ]


def test_times_are_kept_in_utc(store: Store) -> None:
    east = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    store.datasets.put("d", {}, east)
    found = store.datasets.get("d")
    assert found is not None
    assert found.added == NOW
    assert found.added.utcoffset() == timedelta(0)


def test_the_first_answer_to_a_question_stays(store: Store) -> None:
    store.answers.put("key", {"value": 1}, NOW)
    store.answers.put("key", {"value": 2}, NOW)
    assert store.answers.get("key") == {"value": 1}
    assert store.answers.get("other") is None


def test_the_ledger_survives_and_verifies(
    store: Store, opened: Callable[[], Store], tmp_path: Path
) -> None:
    ledger = ledger_of(store, tmp_path)
    assert store.ledger.head() is None
    entries = [ledger.append("note", {"number": number}) for number in range(3)]
    again = opened()
    assert list(again.ledger.read()) == entries
    assert list(again.ledger.read(since=2)) == entries[2:]
    assert again.ledger.head() == entries[2]


def test_a_stale_head_is_refused(store: Store, tmp_path: Path) -> None:
    ledger = ledger_of(store, tmp_path)
    head = ledger.append("note", {"number": 0})
    ledger.append_after(head, "note", {"number": 1})
    with pytest.raises(StaleHeadError):
        ledger.append_after(head, "note", {"number": 2})
    with pytest.raises(StaleHeadError):
        ledger.append_after(None, "note", {"number": 2})
    assert len(list(store.ledger.read())) == 2


def test_writers_in_other_processes_never_fork_the_chain(
    store: Store, opened: Callable[[], Store], tmp_path: Path
) -> None:
    # A second database object is a second set of connections, as another process has.
    other = opened()
    one, two = ledger_of(store, tmp_path / "1"), ledger_of(other, tmp_path / "2")
    writers = [
        threading.Thread(target=lambda led=led: [led.append("note", {"n": n}) for n in range(20)])
        for led in (one, two)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = list(store.ledger.read())
    assert [entry.sequence for entry in entries] == list(range(40))
    assert all(after.previous == before.hash for before, after in itertools.pairwise(entries))


def test_a_changed_ledger_row_is_found(store: Store, tmp_path: Path) -> None:
    identity_folder = tmp_path / "id"
    ledger = ledger_of(store, identity_folder)
    for number in range(3):
        ledger.append("note", {"number": number})
    key = load_identity(identity_folder, clock=ManualClock(NOW)).card.signing_key
    assert ledger.verify(key).ok
    with store.database.writing() as connection:
        connection.execute(
            text("UPDATE ledger SET line = replace(line, :old, :new)"),
            {"old": '"number":1', "new": '"number":7'},
        )
    verdict = ledger.verify(key)
    assert (verdict.ok, verdict.first_bad) == (False, 1)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE ledger SET line = 'x' WHERE sequence = 2"))
    with pytest.raises(Fault) as fault:
        list(store.ledger.read(since=2))
    assert fault.value.code == "ledger.damaged"


def test_migrations_make_the_schema_that_queries_expect(store: Store) -> None:
    with store.database.reading() as connection:
        found = inspect(connection)
        for name, table in metadata.tables.items():
            columns = found.get_columns(name)
            assert [c["name"] for c in columns] == [c.name for c in table.columns]
            key = found.get_pk_constraint(name)["constrained_columns"]
            assert key == [c.name for c in table.primary_key]
    assert store.database.schema_version() == len(MIGRATIONS)


def test_an_older_store_is_migrated_with_its_content(tmp_path: Path) -> None:
    first = Store(open_sqlite(tmp_path))
    first.datasets.put("d", {"a": 1}, NOW)
    first.close()
    more = Migration("a note per data set", ("ALTER TABLE datasets ADD COLUMN note TEXT",))
    database = open_sqlite(tmp_path, (*MIGRATIONS, more))
    assert database.schema_version() == len(MIGRATIONS) + 1
    with database.reading() as connection:
        assert connection.execute(text("SELECT name, note FROM datasets")).one() == ("d", None)
    database.close()


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    more = Migration("later", ("CREATE TABLE later (x TEXT)",))
    open_sqlite(tmp_path, (*MIGRATIONS, more)).close()
    with pytest.raises(Fault) as fault:
        open_sqlite(tmp_path)
    assert fault.value.code == "store.newer"


def test_a_failed_migration_leaves_the_old_schema(tmp_path: Path) -> None:
    open_sqlite(tmp_path).close()
    broken = Migration("broken", ("CREATE TABLE half (x TEXT)", "CREATE TABLE half (x TEXT)"))
    with pytest.raises(Fault):
        open_sqlite(tmp_path, (*MIGRATIONS, broken))
    database = open_sqlite(tmp_path)
    with database.reading() as connection:
        assert "half" not in inspect(connection).get_table_names()
    database.close()


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = Store(open_sqlite(tmp_path))
    store.datasets.put("small", {}, NOW)
    with store.database.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        # SQLite's own limit gives the very error of a full disk, per connection; the pool hands
        # this one out again.
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(Fault) as fault:
        store.datasets.put("large", {"x": "y" * 200_000}, NOW)
    assert fault.value.code == "disk.full"
    assert str(tmp_path) in fault.value.remedy
    with store.database.reading() as connection:
        connection.execute(text("PRAGMA max_page_count = 100000"))
    assert [one.name for one in store.datasets.all()] == ["small"]
    store.datasets.put("large", {"x": "y" * 200_000}, NOW)
    store.close()


def test_no_space_for_a_file_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(Fault) as fault, writing_to(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert fault.value.code == "disk.full"
    with pytest.raises(PermissionError), writing_to(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_a_store_locked_by_another_process_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.node.storage.database._BUSY_SECONDS", 0.05)
    store = Store(open_sqlite(tmp_path))
    blocker = sqlite3.connect(tmp_path / STORE_FILE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        assert store.datasets.all() == []  # readers go on
        with pytest.raises(Fault) as fault:
            store.datasets.put("d", {}, NOW)
        assert fault.value.code == "store.busy"
    finally:
        blocker.close()
        store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Fault) as fault:
        open_sqlite(tmp_path)
    assert fault.value.code == "store.corrupt"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fault) as fault:
        open_sqlite(tmp_path / "file" / "data")
    assert fault.value.code == "store.unwritable"


@pytest.mark.parametrize(
    ("url", "code"),
    [("not a url", "store.url"), ("postgresql+nosuchdriver://h/d", "store.driver")],
)
def test_a_database_url_that_cannot_work_says_why(url: str, code: str) -> None:
    with pytest.raises(Fault) as fault:
        open_url(url)
    assert fault.value.code == code


def test_a_database_object_is_closed_when_it_fails_to_open(tmp_path: Path) -> None:
    more = Migration("later", ("CREATE TABLE later (x TEXT)",))
    open_sqlite(tmp_path, (*MIGRATIONS, more)).close()
    for _ in range(3):
        with pytest.raises(Fault):
            open_sqlite(tmp_path)
    database: Database = open_sqlite(tmp_path, (*MIGRATIONS, more))
    database.close()


def together(*work: Callable[[], object]) -> None:
    """Do all at once, and raise what one of them raises."""
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result(60)


def test_what_is_numbered_after_the_last_one_is_numbered_once(
    store: Store, opened: Callable[[], Store]
) -> None:
    other = opened()
    store.jobs.create("j", 1, contract="aa", request={}, state="waiting", at=NOW)

    def log(one: Store) -> None:
        for _ in range(15):
            one.jobs.log("j", 1, "info", "a line", NOW)

    def publish(one: Store, place: str) -> None:
        for n in range(8):
            figures = [Figure(f"{place}-{p}", date(2026, 1, 1 + n), 1.0 + n) for p in range(3)]
            one.publications.publish("crowd", {"title": "x"}, figures, NOW)

    together(
        lambda: log(store),
        lambda: log(other),
        lambda: publish(store, "north"),
        lambda: publish(other, "south"),
    )
    assert [line.number for line in store.jobs.lines("j", 1)] == list(range(1, 31))
    changes = store.publications.changes("crowd", 0, 100)
    assert [c.number for c in changes] == list(range(1, 49))
    assert store.publications.versions() == {"crowd": 16}
    assert store.publications.dates("crowd", 3) == [(f"2026-01-0{n}", 6, 0) for n in (8, 7, 6)]


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(store: Store) -> None:
    store.datasets.put("one", {}, NOW)
    count = text("SELECT count(*) FROM datasets")
    with store.database.reading() as connection:
        assert connection.execute(count).scalar() == 1
        together(lambda: store.datasets.put("two", {}, NOW))
        assert connection.execute(count).scalar() == 1
    with store.database.reading() as connection:
        assert connection.execute(count).scalar() == 2


def test_a_change_that_fails_half_way_changes_nothing(store: Store) -> None:
    def fail() -> None:
        with store.database.writing() as connection:
            row = {"name": "x", "registration": "{}", "added": "now"}
            connection.execute(metadata.tables["datasets"].insert(), [row])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.datasets.all() == []
    store.datasets.put("x", {}, NOW)  # and nobody waits for the lock of it


def test_two_that_open_a_new_store_at_once_make_it_once(opened: Callable[[], Store]) -> None:
    together(opened, opened, opened)
    assert opened().database.schema_version() == len(MIGRATIONS)


@pytest.mark.slow
def test_a_server_that_goes_away_is_named_and_comes_back(server: Server) -> None:
    store = Store(open_url(server.database()))
    store.datasets.put("before", {}, NOW)
    server.stop()
    with pytest.raises(Fault) as fault:
        store.datasets.all()
    assert fault.value.code == "store.unreachable"
    server.start()
    store.datasets.put("after", {}, NOW)
    assert [one.name for one in store.datasets.all()] == ["after", "before"]
    store.close()
