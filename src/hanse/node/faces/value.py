"""What data was used for, and what the parties owe one another for it: tables of a period, statements as files."""

from __future__ import annotations

from datetime import date
from typing import Any

from hanse.errors import Refusal
from hanse.node.office import ENDED, NodeOffice, bundle_of
from hanse.node.value.metering import summary, uses
from hanse.node.value.statements import Statement, statement

Document = dict[str, Any]
FORMS = {"csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}
MOST_DAYS = 3700
_MOST_USES = 500


def period(first: str, last: str, today: date) -> tuple[date, date]:
    """The days of a period; without any, this month until today. `Refusal` ``statement.period``."""
    try:
        end = date.fromisoformat(last) if last else today
        begin = date.fromisoformat(first) if first else end.replace(day=1)
    except ValueError as error:
        raise Refusal("statement.period", "the period's days are not dates",
                      remedy="write them like 2026-11-30") from error  # fmt: skip
    if end < begin or (end - begin).days > MOST_DAYS:
        raise Refusal("statement.period", f"a period does not go from {begin} to {end}",
                      remedy=f"give the days in order, {MOST_DAYS} at most")  # fmt: skip
    return begin, end


def usage(office: NodeOffice, first: date, last: date, contract: str = "") -> Document:
    """Use of a period in tables, and the uses of this party's own datasets one by one, the newest first."""
    if contract:
        office.contract(contract)  # says in words that there is none
    own = {
        (bundle.contract.id, d.name)
        for bundle in map(bundle_of, office.store.contracts.all())
        for d in bundle.contract.datasets
        if d.provider == office.party
    }
    mine = [
        {"at": u.at.isoformat(), "job": u.job, "contract": u.contract, "computation": u.computation,
         "analyst": u.analyst, "recipients": list(u.recipients), "epsilon": u.epsilon,
         "datasets": [d for d in u.datasets if (u.contract, d) in own]}
        for u in reversed(uses(office, first, last, contract))
        if office.party in u.providers
    ]  # fmt: skip
    return {
        **summary(office, first, last, contract),
        "own": mine[:_MOST_USES],
        "own_uses": len(mine),
    }


def prices(office: NodeOffice) -> list[Document]:
    """Price terms of every contract that is not ended, its newest version."""
    found: dict[str, Document] = {}
    for stored in office.store.contracts.all():
        contract = bundle_of(stored).contract
        known = found.get(contract.id)
        if stored.state == ENDED or contract.prices is None:
            continue
        if known is not None and known["version"] > contract.version:
            continue
        found[contract.id] = {
            "contract": contract.id, "version": contract.version, "title": contract.title, "state": stored.state,
            "currency": contract.prices.currency,
            "terms": [t.model_dump(mode="json") for t in contract.prices.terms],
            "purchases": [p.model_dump(mode="json") for p in contract.prices.purchases],
        }  # fmt: skip
    return [found[name] for name in sorted(found)]


def statement_body(office: NodeOffice, contract: str, first: date, last: date) -> Document:
    """The statement of a contract and period. Raises what `hanse.node.value.statements.statement` raises."""
    made = statement(office, contract, first, last)
    return {**made.body(), "nets": [[a, b, str(amount)] for a, b, amount in made.nets()]}


def statement_file(office: NodeOffice, contract: str, first: date, last: date, form: str) -> bytes:
    """The statement as ``csv`` or ``pdf``. `Refusal` ``result.form`` for another."""
    if form not in FORMS:
        raise Refusal("result.form", f"a statement has no {form[:16]!r} form",
                      remedy="use " + ", ".join(FORMS))  # fmt: skip
    made: Statement = statement(office, contract, first, last)
    return made.csv() if form == "csv" else made.pdf()
