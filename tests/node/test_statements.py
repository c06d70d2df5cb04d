"""Metering and settlement, from a ledger with jobs and an API's usage."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hanse import __version__
from hanse.clock import ManualClock, SystemClock
from hanse.contracts import Bundle, Contract, JobRequest, describe
from hanse.entropy import SystemEntropy
from hanse.errors import Refusal
from hanse.node.faces import facade
from hanse.node.identity.keys import Identity, load_identity
from hanse.node.office import NodeOffice
from hanse.node.products.consumers import Consumer
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.store import Store
from hanse.node.value.metering import summary, uses
from hanse.node.value.statements import Statement, statement

DAY = datetime(2026, 11, 10, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
PARTIES = ("media-house", "retail-chain", "data-house")
AGREED = "autumn-deal"
PRICES = {
    "currency": "CNY",
    "terms": [
        {"payer": "analyst", "payee": "retail-chain", "unit": "job", "amount": "100"},
        {
            "payer": "analyst",
            "payee": "media-house",
            "unit": "dataset-use",
            "dataset": "exposures",
            "amount": "50",
        },
        {"payer": "analyst", "payee": "media-house", "unit": "epsilon", "amount": "0.5"},
        {
            "payer": "retail-chain",
            "payee": "data-house",
            "unit": "thousand-values",
            "amount": "1.2345",
        },
        {"payer": "retail-chain", "payee": "data-house", "unit": "month", "amount": "1000"},
    ],
    "purchases": [{"dataset": "purchases", "amount": "80000", "source": "a broker's list price"}],
}


def contract_with(identities: dict[str, Identity], prices: dict[str, Any] | None) -> Contract:
    common = {
        "capacity": 1000,
        "slots": 1,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "made up",
    }
    return Contract.from_fields(
        {
            "format": 1, "id": AGREED, "version": 1, "title": "A deal", "purpose": "Tests",
            "starts": date(2026, 10, 1), "expires": date(2027, 10, 1), "maximum_jobs": 50,
            "seats": list(PARTIES), "independence": "Three folders.", "retention_days": 1,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8, "epsilon_budget": 50.0},
            "privacy": {"k": 20, "epsilon_per_query": 4.0, "epsilon_budget": 40.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": p, "organisation": f"Organisation {p}", "signing_key": i.card.signing_key,
                 "certificate": i.card.fingerprint} for p, i in identities.items()
            ],
            "datasets": [{"name": "exposures", "provider": "media-house", **common},
                         {"name": "purchases", "provider": "retail-chain", **common}],
            "computations": [{"name": "overlap", "recipients": list(PARTIES),
                              "datasets": ["exposures", "purchases"]}],
            **({"prices": prices} if prices else {}),
        }
    )  # fmt: skip


def asked(contract: Contract, analyst: str, number: int) -> JobRequest:
    return JobRequest.from_fields(
        {
            "contract_id": contract.id, "contract_hash": contract.hash, "computation": "overlap",
            "parameters": {"n": number}, "analyst": analyst, "noise": True, "epsilon": 1.0, "epsilon_join": 1.0,
            "uses": [{"dataset": d, "purpose": "membership"} for d in ("exposures", "purchases")],
            "recipients": ["media-house"], "attempt": 1, "created": DAY.isoformat(), "nonce": f"{number:032x}",
            "code_version": __version__, "outputs": [{"name": "counts", "shape": [3]}],
        }
    )  # fmt: skip


@pytest.fixture
def identities(tmp_path: Path) -> dict[str, Identity]:
    found = {}
    for party in PARTIES:
        facade.create_node(tmp_path / party, party, f"Organisation {party}", None)
        found[party] = load_identity(tmp_path / party, clock=SystemClock())
    return found


@pytest.fixture
def office(tmp_path: Path, identities: dict[str, Identity]) -> Iterator[NodeOffice]:
    """The media house's records: three jobs of November, one of October, one that failed."""
    store = Store(open_sqlite(tmp_path / "store"))
    contract = contract_with(identities, PRICES)
    jobs = [("media-house", 0, "done"), ("media-house", 1, "done"), ("retail-chain", 2, "done"),
            ("retail-chain", -20, "done"), ("retail-chain", 3, "failed")]  # fmt: skip
    for number, (analyst, days, state) in enumerate(jobs):
        made = NodeOffice(identities["media-house"], store, ManualClock(DAY + timedelta(days=days)))
        made.import_bundle(Bundle(contract))
        request = asked(contract, analyst, number)
        made.book.started(request, ["seat 0"])
        if state == "done":
            made.ledger.append("commit", {"job": request.job_hash})
        error = None if state == "done" else {"code": "peer.lost", "message": "lost"}
        made.book.ended(request.job_hash, state, error=error)
    store.consumers.add(Consumer("dashboards", ("crowds",), contract=AGREED), SystemEntropy(), DAY)
    store.consumers.add(Consumer("others", ("crowds",)), SystemEntropy(), DAY)
    store.consumers.count(
        date(2026, 11, 11), {("dashboards", "crowd"): (30, 2500), ("others", "crowd"): (1, 7)}
    )
    store.consumers.count(date(2026, 11, 12), {("dashboards", "crowd"): (1, 500)})
    store.consumers.count(date(2026, 12, 1), {("dashboards", "crowd"): (1, 9000)})
    yield made
    store.close()


def test_jobs_of_a_period_are_counted_once_and_failed_ones_not(office: NodeOffice) -> None:
    found = uses(office, FIRST, LAST)
    assert [(u.analyst, u.epsilon) for u in found] == [("media-house", 1.0)] * 2 + [
        ("retail-chain", 1.0)
    ]
    assert len(uses(office, date(2026, 10, 1), date(2026, 10, 31))) == 1
    assert uses(office, FIRST, LAST, "another") == []
    tables = {t["title"]: t["rows"] for t in summary(office, FIRST, LAST, AGREED)["tables"]}
    assert tables["By party that gave data"] == [
        ["media-house", "3", "3"],
        ["retail-chain", "3", "3"],
    ]
    assert tables["By dataset"] == [["exposures", "3", "3"], ["purchases", "3", "3"]]
    assert tables["By consumer of the API"] == [["dashboards", AGREED, "crowd", "31", "3,000"]]


def test_a_statement_is_the_price_terms_times_what_was_used(office: NodeOffice) -> None:
    made = statement(office, AGREED, FIRST, LAST)
    assert [(x.payer, x.payee, x.what, x.quantity, x.amount) for x in made.lines] == [
        # Whoever asks pays; a party's own questions over its own data are free to it.
        ("media-house", "retail-chain", "jobs with a result", Decimal(2), Decimal("200.00")),
        ("retail-chain", "media-house", "jobs that read exposures", Decimal(1), Decimal("50.00")),
        (
            "retail-chain",
            "media-house",
            "privacy budget (epsilon)",
            Decimal("1.0"),
            Decimal("0.50"),
        ),
        ("retail-chain", "data-house", "thousand values served", Decimal(3), Decimal("3.70")),
        ("retail-chain", "data-house", "months begun", Decimal(1), Decimal("1000.00")),
    ]
    assert made.nets() == [
        ("retail-chain", "data-house", Decimal("1003.70")),
        ("media-house", "retail-chain", Decimal("149.50")),
    ]
    assert made.total == Decimal("1254.20")
    assert any("CNY 80,000.00" in note for note in made.body()["notes"])
    longer = statement(office, AGREED, date(2026, 9, 1), date(2026, 12, 31))
    assert [x.quantity for x in longer.lines if x.what == "months begun"] == [Decimal(3)]


def test_it_is_written_as_csv_and_pdf(office: NodeOffice) -> None:
    made = statement(office, AGREED, FIRST, LAST)
    rows = list(csv.reader(io.StringIO(made.csv().decode("utf-8-sig"))))
    assert len(rows) == 6
    assert rows[1][3:] == [
        "media-house",
        "retail-chain",
        "jobs with a result",
        "2",
        "100",
        "200.00",
        "CNY",
    ]
    pdf = made.pdf()
    assert pdf.startswith(b"%PDF-")
    assert pdf == statement(office, AGREED, FIRST, LAST).pdf()


def test_a_formula_in_a_cell_stays_text() -> None:
    from hanse.node.value.statements import Line

    line = Line("=cmd()", "b", "@x", Decimal(1), Decimal(1), Decimal(1))
    made = Statement("c", 1, "00", FIRST, LAST, "EUR", "m", (line,), ())
    assert b"'=cmd()" in made.csv()
    assert b"'@x" in made.csv()


def test_a_contract_without_prices_and_a_period_upside_down_are_refused(
    office: NodeOffice, identities: dict[str, Identity]
) -> None:
    with pytest.raises(Refusal) as refusal:
        statement(office, AGREED, LAST, FIRST)
    assert refusal.value.code == "statement.period"
    free = contract_with(identities, None)
    office.import_bundle(Bundle(free.model_copy(update={"id": "free-deal"})))
    with pytest.raises(Refusal) as refusal:
        statement(office, "free-deal", FIRST, LAST)
    assert refusal.value.code == "statement.prices"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"payee": "nobody-here"}, "payee"),
        ({"payer": "nobody-here"}, "payer"),
        ({"payer": "retail-chain"}, "payee"),
        ({"unit": "month"}, "payer"),
        ({"unit": "dataset-use"}, "dataset"),
        ({"dataset": "exposures"}, "dataset"),
        ({"computation": "guessing"}, "computation"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "1.23456"}, "amount"),
    ],
)
def test_price_terms_that_make_no_sense_are_refused(
    identities: dict[str, Identity], change: dict[str, str], where: str
) -> None:
    term = {"payer": "analyst", "payee": "retail-chain", "unit": "job", "amount": "100", **change}
    with pytest.raises(Refusal) as refusal:
        contract_with(identities, {"currency": "CNY", "terms": [term]})
    assert refusal.value.code == "contract.malformed"
    assert where in str(refusal.value)


def test_prices_are_part_of_what_is_signed_and_told_in_words(
    identities: dict[str, Identity],
) -> None:
    free, priced = contract_with(identities, None), contract_with(identities, PRICES)
    assert free.hash != priced.hash
    assert Contract.from_toml(priced.to_toml()).hash == priced.hash
    assert (
        "Whoever asks pays retail-chain (Organisation retail-chain) CNY 100 for every job"
        in describe(priced)
    )
    assert "What it costs" not in describe(free)
