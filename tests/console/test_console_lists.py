"""Long lists: pages follow each other without gaps, and come at once however many rows there are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from console_results import answered
from console_stage import Bench, bench, new_node

from hanse.contracts import Bundle
from hanse.errors import Refusal
from hanse.node.faces import facade, listing
from hanse.node.office import NodeOffice
from hanse.node.storage import tables
from hanse.node.storage.rows import to_text, to_time

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MOST_SECONDS = 0.3


def fill(office: NodeOffice, contracts: int, jobs: int) -> None:
    """So many contracts and jobs, in batches; every tenth contract is pending, every twentieth job failed."""
    answer = answered("funnel")
    document = json.loads(Bundle(answer.job.contract).to_json())
    request = answer.job.request.fields()
    with office.store.database.writing() as connection:
        connection.execute(
            tables.contracts.insert(),
            [
                {"id": f"contract-{n:05}", "version": 1, "hash": f"{n:064x}",
                 "state": "pending" if n % 10 == 0 else "live", "changed": to_time(BEGIN + timedelta(minutes=n)),
                 "bundle": to_text({**document, "contract": {**document["contract"], "id": f"contract-{n:05}"}})}
                for n in range(contracts)
            ],
        )  # fmt: skip
        text = to_text(request)
        connection.execute(
            tables.jobs.insert(),
            [
                {"job": f"{n:064x}", "attempt": 1, "state": "failed" if n % 20 == 0 else "done",
                 "contract": f"{n % contracts:064x}", "request": text, "result": "{}",
                 "created": to_time(BEGIN + timedelta(seconds=n // 3))}
                for n in range(jobs)
            ],
        )  # fmt: skip


def walked(page: Callable[[str], listing.Page], name: str) -> list[Any]:
    """The names of all rows, page by page."""
    found, mark = [], ""
    while True:
        one = page(mark)
        found += [row[name] for row in one.rows]
        mark = one.next
        if not mark:
            return found


@pytest.fixture
def few(tmp_path: Path) -> Any:
    with facade.office_of(new_node(tmp_path / "node")) as office:
        fill(office, 40, 130)
        yield office


def test_pages_of_jobs_leave_nothing_out_and_repeat_nothing(few: NodeOffice) -> None:
    database = few.store.database
    # Three jobs begin in the same second: the mark tells them apart.
    names = walked(lambda mark: listing.job_page(database, after=mark, limit=7), "job")
    assert names == [
        f"{n:064x}" for n in sorted(range(130), key=lambda n: (n // 3, n), reverse=True)
    ]
    failed = walked(
        lambda mark: listing.job_page(database, state="failed", after=mark, limit=2), "job"
    )
    assert failed == [f"{n:064x}" for n in range(120, -1, -20)]
    of_one = walked(
        lambda mark: listing.job_page(database, contract="contract-00007", after=mark), "job"
    )
    assert of_one == [f"{n:064x}" for n in (127, 87, 47, 7)]
    assert listing.job_counts(database) == {"failed": 7, "done": 123}
    assert "result" not in listing.job_page(database, limit=1).rows[0]


def test_pages_of_contracts_show_each_once_in_its_newest_version(few: NodeOffice) -> None:
    database = few.store.database
    document = json.loads(Bundle(answered("funnel").job.contract).to_json())
    few.store.contracts.put("contract-00003", 2, hash="f" * 64, state="pending", bundle=document,
                            at=BEGIN + timedelta(days=9))  # fmt: skip
    names = walked(lambda mark: listing.contract_page(database, after=mark, limit=9), "id")
    assert names[0] == "contract-00003"
    assert sorted(names) == [f"contract-{n:05}" for n in range(40)]
    assert [v["version"] for v in listing.contract_versions(database, "contract-00003")] == [2, 1]
    pending = walked(
        lambda mark: listing.contract_page(database, state="pending", after=mark, limit=2), "id"
    )
    assert sorted(pending) == [f"contract-{n:05}" for n in (0, 3, 10, 20, 30)]
    found = listing.contract_page(database, search="t-0000").rows
    assert len(found) == 10
    assert not listing.contract_page(database, search="%").rows


@pytest.mark.parametrize(
    "mark", ["x", "1|2", "2026-01-01|'; DROP TABLE jobs|1", "|" * 3, "2026|a|99999999999"]
)
def test_a_mark_that_no_page_gave_is_refused(few: NodeOffice, mark: str) -> None:
    with pytest.raises(Refusal) as refused:
        listing.job_page(few.store.database, after=mark)
    assert refused.value.code == "page.mark"
    with pytest.raises(Refusal):
        listing.contract_page(few.store.database, limit=10_000)


def quickest(stage: Bench, path: str, tries: int = 5) -> float:
    """Seconds that a page takes, the best of some tries after one that warms up."""
    browser = stage.browser("auditor")
    taken = []
    for _ in range(tries + 1):
        begun = time.perf_counter()
        answer = browser.get(path)
        taken.append(time.perf_counter() - begun)
        assert answer.status_code == 200
    return min(taken[1:])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_contracts_and_a_hundred_thousand_jobs_come_at_once(tmp_path: Path) -> None:
    folder = new_node(tmp_path / "node")
    with facade.office_of(folder) as office:
        fill(office, 10_000, 100_000)
        deep_jobs = listing.job_page(office.store.database, limit=200).next
        deep = listing.contract_page(office.store.database, limit=200).next
    with bench(folder) as stage:
        taken = {
            path: quickest(stage, path)
            for path in (
                "/", "/contracts", "/contracts?state=pending", "/contracts?search=00077",
                f"/contracts?after={quote(deep)}",
                "/jobs", "/jobs?state=failed", "/jobs?contract=contract-00042", f"/jobs?after={quote(deep_jobs)}",
                "/disclosures", "/api/v1/contracts?limit=200", "/api/v1/jobs?limit=200",
            )
        }  # fmt: skip
    print({path: f"{seconds * 1000:.0f} ms" for path, seconds in taken.items()})
    assert max(taken.values()) < MOST_SECONDS, taken
