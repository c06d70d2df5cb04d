"""Results over the API: listed page by page by an index, however many jobs there are; by contract, computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from score_stage import agreed, keep_contract, keep_job
from serving_stage import Served
from sqlalchemy import event

from hanse.contracts import Contract
from hanse.node.storage import tables
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.rows import to_text, to_time
from hanse.node.storage.store import Store
from hanse.serving.app import create_app
from hanse.serving.results import MOST_PAGES, MOST_RESULTS
from hanse.wire.codec import digest

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MANY = 6000


def name(number: int) -> str:
    return digest(f"many {number}")


def fill(store: Store, contracts: list[Contract]) -> None:
    """Many jobs: every third is an overlap with a result here; some failed, some gave their result to others."""
    rows = []
    for n in range(MANY):
        contract = contracts[n % 2]
        request = {"contract_id": contract.id, "computation": "overlap" if n % 3 == 0 else "funnel"}
        result = {"result": {"n": n} if n % 3 == 0 else None, "spent": True}
        at = to_time(NOW + timedelta(seconds=n // 2))  # two begin at the same moment
        rows.append({
            "job": name(n), "attempt": 1, "state": "failed" if n % 12 == 0 else "done", "contract": contract.hash,
            "request": to_text(request), "result": to_text(result), "created": at, "finished": at,
        })  # fmt: skip
    with store.database.writing() as connection:
        connection.execute(tables.jobs.insert(), rows)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = Store(open_sqlite(tmp_path_factory.mktemp("results")))
    contracts = [agreed("spring"), agreed("autumn")]
    for contract in contracts:
        keep_contract(store, contract, NOW)
    fill(store, contracts)
    with TestClient(create_app(store, webhooks=False), client=("127.0.0.1", 5000)) as client:
        stage = Served(store, client, "")
        stage.key = stage.consumer("reader", rate=10_000.0)
        yield stage
    store.close()


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """The statements that reach the database."""
    seen: list[str] = []

    def saw(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().upper().startswith("SELECT") and "jobs" in statement:
            seen.append(statement)

    engine = store.database._engine
    event.listen(engine, "before_cursor_execute", saw)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", saw)


def page(api: Served, key: str | None = None, **asked: Any) -> dict[str, Any]:
    answer = api.client.get("/v1/results", params=asked, headers=api.headers(key))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def every(api: Served, key: str | None = None, **asked: Any) -> list[str]:
    """All pages, one after the other."""
    found, after = [], ""
    for _ in range(MANY):
        one = page(api, key, after=after, **asked)
        found += [r["job"] for r in one["results"]]
        after = one["next"]
        if after is None:
            return found
    raise AssertionError("the pages do not end")


def wanted(*, contract: int | None = None) -> set[str]:
    return {name(n) for n in range(MANY)
            if n % 3 == 0 and n % 12 != 0 and contract in (None, n % 2)}  # fmt: skip


def test_pages_hold_every_result_once_newest_first(api: Served) -> None:
    found = every(api, limit=MOST_RESULTS)
    assert len(found) == len(set(found))
    assert set(found) == wanted()
    times = {name(n): n // 2 for n in range(MANY)}
    order = [times[job] for job in found]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_a_page_reads_a_few_rows_whatever_there_is(api: Served, limit: int) -> None:
    with counted(api.store) as first:
        one = page(api, limit=limit)
    with counted(api.store) as later:
        page(api, limit=limit, after=one["next"])
    assert len(one["results"]) == limit
    # Every fourth job is one of ours: a handful of pages, each with one look for results; and the mark of `after`.
    assert len(first) <= 2 * 8
    assert len(later) <= 2 * 8 + 1
    assert all("LIMIT" in s or "IN (" in s for s in first)


def test_a_look_through_jobs_of_which_none_fits_ends_and_goes_on(api: Served) -> None:
    with counted(api.store) as seen:
        one = page(api, computation="lift")
    assert one["results"] == []
    assert len(seen) == MOST_PAGES
    assert one["next"] is not None
    assert every(api, computation="lift", limit=MOST_RESULTS) == []
    assert set(every(api, computation="overlap", limit=MOST_RESULTS)) == wanted()


def test_by_contract(api: Served) -> None:
    assert set(every(api, contract="autumn", limit=MOST_RESULTS)) == wanted(contract=1)
    assert page(api, contract="no-such")["results"] == []
    narrow = api.consumer("narrow", products=("autumn",), rate=10_000.0)
    assert set(every(api, narrow, limit=MOST_RESULTS)) == wanted(contract=1)
    answer = api.client.get("/v1/results?contract=spring", headers=api.headers(narrow))
    assert answer.json()["code"] == "api.scope"


def test_what_does_not_begin_after_a_job(api: Served) -> None:
    for after in ("ab" * 32, name(0)):  # unknown, and one that failed
        answer = api.client.get(f"/v1/results?after={after}", headers=api.headers())
        assert (answer.status_code, answer.json()["code"]) == (404, "api.unknown")


def test_a_result_that_comes_late_changes_the_page_s_tag(tmp_path: Path) -> None:
    store = Store(open_sqlite(tmp_path))
    contract = agreed()
    keep_contract(store, contract, NOW)
    last = [
        keep_job(store, contract, n, NOW + timedelta(hours=n), result={"n": n}) for n in (1, 2, 4)
    ]
    with TestClient(create_app(store, webhooks=False), client=("127.0.0.1", 5000)) as client:
        stage = Served(store, client, "")
        stage.key = stage.consumer("reader", rate=10_000.0)
        tag = client.get("/v1/results?limit=2", headers=stage.headers()).headers["etag"]
        again = stage.headers(**{"If-None-Match": tag})
        assert client.get("/v1/results?limit=2", headers=again).status_code == 304
        slow = keep_job(store, contract, 3, NOW + timedelta(hours=3), result={"n": 3})
        answer = client.get("/v1/results?limit=2", headers=again)
        assert [r["job"] for r in answer.json()["results"]] == [last[2], slow]
        one = client.get(f"/v1/results/{slow}", headers=stage.headers()).json()
        assert one["result"] == {"n": 3}
    store.close()
