"""What data was used for, and what the parties owe one another for it: tables of a period, statements as files."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from hanse.contracts.models import CONTRIBUTIONS, parties_of
from hanse.errors import Fault, Refusal
from hanse.node.faces import facade
from hanse.node.faces.models import contract_with
from hanse.node.office import ENDED, NodeOffice, bundle_of
from hanse.node.value import holders
from hanse.node.value.contributed import measured
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


def contributions(office: NodeOffice, contract: str = "", model: str = "") -> list[Document]:
    """The last measurement of what each party adds, by contract and model, the newest first."""
    if contract:
        office.contract(contract)
    found: dict[tuple[str, str], Document] = {}
    for one in measured(office, contract, model):
        found.setdefault((one.contract, one.model), one.body())
    return list(found.values())


def crowds(office: NodeOffice) -> list[Document]:
    """What holders add to crowd models, from back-tests that were kept here: P30 with all, and without each."""
    return holders.kept(_data(office))


def measure_crowd(folder: Path, config: Path, regime: str, workers: int) -> Document:
    """Run a back-test with all holders of the tables and without each, and keep it."""
    found = holders.measure(config, regime, workers)
    with facade.office_of(folder) as office:
        data = _data(office)
        if data is None:
            raise Fault("backtest.folder", "this node has no folder to keep back-tests in",
                        remedy="open the node by its folder")  # fmt: skip
        holders.keep(data, found, office.desk.clock.now())
    return found


def _data(office: NodeOffice) -> Path | None:
    return None if office.desk.folder is None else office.desk.folder.parent


def measurable(office: NodeOffice) -> list[Document]:
    """The models whose contributions contracts let be measured: who is told, what it takes, what is left."""
    rows = []
    for stored in office.store.contracts.all():
        contract = bundle_of(stored).contract
        for clause in contract.models:
            if not clause.contributions or stored.state == ENDED:
                continue
            parties = parties_of(contract, clause)
            used = office.spend.trainings(contract.id, clause.name)
            rows.append(
                {"contract": contract.id, "version": contract.version, "model": clause.name,
                 "parties": list(parties), "told": list(clause.contributions), "takes": 1 << (len(parties) - 1),
                 "left": max(0, clause.maximum_trainings - used)}
            )  # fmt: skip
    return rows


def measuring(
    office: NodeOffice, model: str, contract: str = "", settings: Document | None = None
) -> Document:
    """The question that measures what each party adds. `Refusal` ``model.unknown`` or ``model.contract``."""
    contract = contract_with(office, model, contract)
    office.contract(contract)
    return {"contract": contract, "computation": CONTRIBUTIONS, "epsilon": 0.0,
            "parameters": {**(settings or {}), "model": model}}  # fmt: skip


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
