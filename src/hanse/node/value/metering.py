"""Every use of data that this node took part in: by contract, party, dataset and consumer.

Jobs come from the ledger (what was committed here, or ended with a result here), reads of published figures from
the API's usage. So two nodes of a contract count the same jobs, each from its own ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from hanse.contracts import Contract, JobRequest
from hanse.contracts.requests import providers_of
from hanse.node.office import NodeOffice, bundle_of


@dataclass(frozen=True, slots=True)
class Use:
    """One job that used data: when its result was allowed out, who asked, whose data, at what privacy price."""

    at: datetime
    job: str
    contract: str
    computation: str
    analyst: str
    recipients: tuple[str, ...]
    providers: tuple[str, ...]
    datasets: tuple[str, ...]
    epsilon: float


@dataclass(frozen=True, slots=True)
class Read:
    """What a consumer read of a product in a period."""

    consumer: str
    contract: str
    product: str
    requests: int
    values: int


def uses(office: NodeOffice, first: date, last: date, contract_id: str = "") -> list[Use]:
    """Jobs from ``first`` to ``last`` (UTC days, both included), of one contract or of all, oldest first."""
    contracts: dict[str, Contract] = {}
    found: dict[str, Use] = {}
    for entry in office.ledger.entries():
        spent = entry.kind == "commit" or (
            entry.kind == "job" and entry.body.get("state") == "done"
        )
        moment = datetime.fromisoformat(entry.time)
        if not spent or not first <= moment.date() <= last:
            continue
        name = str(entry.body["job"])
        stored = office.store.jobs.get(name)
        if (
            stored is None
            or name in found
            or contract_id not in ("", stored.request["contract_id"])
        ):
            continue
        if stored.contract not in contracts:
            kept = office.store.contracts.by_hash(stored.contract)
            if kept is None:
                continue
            contracts[stored.contract] = bundle_of(kept).contract
        found[name] = _use(
            moment, JobRequest.from_fields(stored.request), contracts[stored.contract]
        )
    return list(found.values())


def _use(moment: datetime, request: JobRequest, contract: Contract) -> Use:
    return Use(
        moment, request.job_hash, request.contract_id, request.computation, request.analyst,
        request.recipients, providers_of(contract, request), request.datasets, request.epsilon,
    )  # fmt: skip


def reads(office: NodeOffice, first: date, last: date, contract_id: str = "") -> list[Read]:
    """What consumers read from ``first`` to ``last``, by consumer and product."""
    consumers = {c.name: c for c in office.store.consumers.all().values()}
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for row in office.store.consumers.usage(first, last):
        key = (str(row["consumer"]), str(row["product"]))
        requests, values = found.get(key, (0, 0))
        found[key] = requests + int(row["requests"]), values + int(row["values"])
    result = []
    for (name, product), (requests, values) in sorted(found.items()):
        contract = consumers[name].contract if name in consumers else ""
        if contract_id in ("", contract):
            result.append(Read(name, contract, product, requests, values))
    return result


def summary(office: NodeOffice, first: date, last: date, contract_id: str = "") -> dict[str, Any]:
    """Tables of use in a period, as results have them: by contract, party, dataset, consumer."""
    jobs = uses(office, first, last, contract_id)
    read = reads(office, first, last, contract_id)

    def counted(title: str, head: str, keys: Iterable[tuple[str, Use]]) -> dict[str, Any]:
        tally: dict[str, tuple[int, float]] = {}
        for key, use in keys:
            count, epsilon = tally.get(key, (0, 0.0))
            tally[key] = count + 1, epsilon + use.epsilon
        rows = [
            [key, f"{count:,}", f"{epsilon:g}"] for key, (count, epsilon) in sorted(tally.items())
        ]
        return {
            "title": title,
            "heads": [head, "jobs", "epsilon (simple sum)"],
            "rows": rows,
            "right": [1, 2],
        }

    return {
        "first": first.isoformat(),
        "last": last.isoformat(),
        "contract": contract_id,
        "jobs": len(jobs),
        "tables": [
            counted("By contract", "contract", ((u.contract, u) for u in jobs)),
            counted("By computation", "computation", ((u.computation, u) for u in jobs)),
            counted(
                "By party that gave data", "party", ((p, u) for u in jobs for p in u.providers)
            ),
            counted("By dataset", "dataset", ((d, u) for u in jobs for d in u.datasets)),
            counted(
                "By party that learned results",
                "party",
                ((p, u) for u in jobs for p in u.recipients),
            ),
            {
                "title": "By consumer of the API",
                "heads": ["consumer", "on account of", "product", "requests", "values"],
                "rows": [
                    [r.consumer, r.contract, r.product, f"{r.requests:,}", f"{r.values:,}"]
                    for r in read
                ],
                "right": [3, 4],
            },
        ],
        "notes": ["Jobs that this node had a part in: as seat, provider or recipient."],
    }
