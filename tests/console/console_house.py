"""What a house has that publishes, sells and answers for it: a priced contract with jobs, products, places."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hanse import __version__
from hanse.clock import ManualClock, SystemClock
from hanse.contracts import Bundle, Contract, JobRequest
from hanse.learn.evaluation.shapley import contributions
from hanse.learn.jobs.contributions import Coalition, Contributed
from hanse.node.faces import facade
from hanse.node.identity.keys import load_identity
from hanse.node.office import NodeOffice
from hanse.node.products.publications import Figure

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGREED, PRODUCT = "autumn-deal", "store-traffic"
PARTIES = ("media-house", "retail-chain", "data-house")
PLANTED = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
FIRST_DAY = date(2026, 10, 12)
DAYS = 30
PRICES: dict[str, Any] = {
    "currency": "CNY",
    "terms": [
        {"payer": "analyst", "payee": "retail-chain", "unit": "job", "amount": "100"},
        {"payer": "analyst", "payee": "media-house", "unit": "dataset-use", "dataset": "exposures",
         "amount": "50"},
        {"payer": "retail-chain", "payee": "data-house", "unit": "month", "amount": "1000"},
    ],
    "purchases": [{"dataset": "purchases", "amount": "80000", "source": "a broker's list price"}],
}  # fmt: skip


def furnish(folder: Path, planted: str = PLANTED) -> None:
    """Two jobs of November under a priced contract (one asked by each of two), a product of twelve places;
    ``planted`` goes into every name.
    """
    cards = {"media-house": load_identity(folder, clock=SystemClock()).card}
    for other in PARTIES[1:]:
        facade.create_node(folder.parent / other, other, f"{other} {planted}"[:60].strip(), None)
        cards[other] = load_identity(folder.parent / other, clock=SystemClock()).card
    agreed = contract(cards, planted)
    for number, analyst in enumerate(PARTIES[:2]):
        with facade.office_of(folder) as found:
            clock = ManualClock(NOW - timedelta(days=9 - number))
            office = NodeOffice(found.identity, found.store, clock)
            office.import_bundle(Bundle(agreed))
            request = asked(agreed, analyst, number)
            office.book.started(request, ["seat 0"])
            office.book.ended(request.job_hash, "done", error=None)
    with facade.office_of(folder) as office:
        path = folder / "town.parquet"
        pq.write_table(town(planted), path)
        office.shelf.add(path)
        about = {
            "title": f"Store traffic {planted}".strip(),
            "unit": "people a day",
            "contract": "",
            "synthetic": True,
        }
        office.store.publications.publish(PRODUCT, about, figures(), NOW - timedelta(days=1))
        last = FIRST_DAY + timedelta(days=DAYS - 1)
        changed = [Figure("store-00", last, 1111.0, 1000.0, 1222.0, 0.9)]
        office.store.publications.publish(PRODUCT, about, changed, NOW)


def contract(cards: dict[str, Any], planted: str) -> Contract:
    common = {
        "capacity": 1000,
        "slots": 1,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "made up",
    }
    return Contract.from_fields(
        {
            "format": 1, "id": AGREED, "version": 1, "title": f"A deal {planted}".strip(), "purpose": "Tests",
            "starts": date(2026, 10, 1), "expires": date(2027, 10, 1), "maximum_jobs": 50,
            "seats": list(PARTIES), "independence": "Three folders.", "retention_days": 1,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 50.0},
            "privacy": {"k": 20, "epsilon_per_query": 4.0, "epsilon_budget": 40.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [{"name": p, "organisation": c.organisation, "signing_key": c.signing_key,
                         "certificate": c.fingerprint} for p, c in cards.items()],
            "datasets": [{"name": "exposures", "provider": "media-house", **common},
                         {"name": "purchases", "provider": "retail-chain", **common}],
            "computations": [{"name": "overlap", "recipients": list(PARTIES),
                              "datasets": ["exposures", "purchases"]}],
            "prices": PRICES,
        }
    )  # fmt: skip


def asked(agreed: Contract, analyst: str, number: int) -> JobRequest:
    return JobRequest.from_fields(
        {
            "contract_id": agreed.id, "contract_hash": agreed.hash, "computation": "overlap",
            "parameters": {"n": number}, "analyst": analyst, "noise": True, "epsilon": 1.0, "epsilon_join": 1.0,
            "uses": [{"dataset": d, "purpose": "membership"} for d in ("exposures", "purchases")],
            "recipients": ["media-house"], "attempt": 1, "created": NOW.isoformat(), "nonce": f"{number:032x}",
            "code_version": __version__, "outputs": [{"name": "counts", "shape": [3]}],
        }
    )  # fmt: skip


def town(planted: str, places: int = 12) -> pa.Table:
    """Shops of a made-up town."""
    return pa.table(
        {"id": [f"store-{i:02}" for i in range(places)],
         "name": [f"Shop {i}" if i else f"Shop {planted or 0}"[:40] for i in range(places)],
         "type": ["shop" if i % 2 else "mall" for i in range(places)],
         "lat": [31.20 + 0.01 * (i % 4) for i in range(places)],
         "lon": [121.40 + 0.015 * (i // 4) for i in range(places)]}
    )  # fmt: skip


def figures() -> list[Figure]:
    """Every fifth place of a Sunday is withheld."""
    found = []
    for n in range(DAYS):
        day = FIRST_DAY + timedelta(days=n)
        for i in range(12):
            if day.weekday() == 6 and i % 5 == 1:
                found.append(Figure(f"store-{i:02}", day, None, reason="too few sources"))
                continue
            value = 400.0 + 60 * i + (180 if day.weekday() > 4 else 0) + 20 * ((n * 7 + i) % 5)
            found.append(Figure(f"store-{i:02}", day, value, 0.85 * value, 1.15 * value, 0.88))
    return found


# --- what parties add to a model, as it was measured --------------------------------------------------

VALUED, MODEL = "spring-model", "buyers"
REACHED = {
    ("retail-chain",): 0.58,
    ("retail-chain", "data-house"): 0.63,
    ("retail-chain", "media-house"): 0.69,
    ("retail-chain", "data-house", "media-house"): 0.72,
}


def furnish_contributions(folder: Path) -> str:
    """A contract with a model of three parties whose contributions were measured and are paid for; the job."""
    nodes = {p: folder if p == folder.name else folder.parent / p for p in PARTIES}
    cards = {p: load_identity(at, clock=SystemClock()).card for p, at in nodes.items()}
    agreed = valued(cards)
    fields = asked(agreed, "retail-chain", 9).fields() | {
        "computation": "contributions", "parameters": {"model": MODEL}, "noise": False, "epsilon": 0.0,
        "uses": [{"dataset": d, "column": "", "purpose": "membership"} for d in ("buyers", "viewers", "movers")],
        "recipients": ["media-house", "retail-chain"], "outputs": [{"name": "metrics-0", "shape": [38]}],
    }  # fmt: skip
    request = JobRequest.from_fields(fields)
    with facade.office_of(folder) as found:
        clock = ManualClock(datetime(2026, 11, 12, 9, tzinfo=UTC))
        office = NodeOffice(found.identity, found.store, clock)
        office.import_bundle(Bundle(agreed))
        office.spend.reserve(
            request.job_hash, contract=agreed.id, period="contract", providers=PARTIES, epsilon=0.0,
            epsilon_join=1.0, limit=lambda _standing: None, model=MODEL, trainings=4,
        )  # fmt: skip
        office.spend.commit(request.job_hash)
        office.book.started(request, ["recipient"])
        office.book.ended(request.job_hash, "done", result=measured().body(), error=None)
    return request.job_hash


def measured() -> Contributed:
    """What coalitions reach, made up."""
    values = {frozenset(some): value for some, value in REACHED.items()}
    shares = contributions(PARTIES, values, ["retail-chain"])
    coalitions = tuple(
        Coalition(some, {"auc": value, "rows": 2400.0}, 6, converged=True)
        for some, value in REACHED.items()
    )
    return Contributed(MODEL, "retail-chain", "auc", 0.58, 0.72, 2400.0, tuple(shares), coalitions)


def valued(cards: dict[str, Any]) -> Contract:
    terms = contract(cards, "").fields() | {"id": VALUED, "title": "A model of buyers"}
    owners = {"buyers": "retail-chain", "viewers": "media-house", "movers": "data-house"}
    feature = {"name": "visits", "kind": "integer", "uses": ["feature"], "maximum": 100}
    target = {"name": "bought", "kind": "boolean", "uses": ["target"]}
    terms["datasets"] = [
        {"name": name, "provider": owner, "capacity": 1000, "slots": 1, "personal": True, "legal_basis": "consent",
         "evidence": "made up",
         "columns": [feature, target] if name == "buyers" else [feature]}
        for name, owner in owners.items()
    ]  # fmt: skip
    terms["models"] = [
        {"name": MODEL, "kind": "logistic", "target": {"dataset": "buyers", "column": "bought"},
         "features": [{"dataset": name, "columns": ["visits"]} for name in owners], "alignment": "hidden",
         "authorisation": "authorised-by-people", "evidence": "Made-up forms.", "metrics": ["retail-chain"],
         "contributions": ["media-house", "retail-chain"], "maximum_trainings": 12, "least_rows": 500,
         "expiry_days": 90}
    ]  # fmt: skip
    terms["prices"] = {"currency": "CNY", "terms": [
        {"payer": "retail-chain", "payee": "media-house", "unit": "contribution", "model": MODEL, "amount": "9000"}
    ]}  # fmt: skip
    del terms["computations"]
    return Contract.from_fields(terms | {"starts": date(2026, 10, 1), "expires": date(2027, 10, 1)})
