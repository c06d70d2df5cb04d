"""Daily crowds in a contract: written and read alike, in words, and jobs that do not fit their clause."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import Any

import pytest

from hanse.contracts import Contract, JobRequest
from hanse.contracts.crowds import check_crowd
from hanse.contracts.description import describe
from hanse.errors import Refusal

PARTIES = ("counters", "maps", "operator")
FEEDS = {"counted": "counters", "app": "maps", "mobiles": "operator"}
COLUMNS = {"place": "place", "date": "day", "value": "people"}


def terms(**crowd: Any) -> dict[str, Any]:
    columns = [
        {"name": "place", "kind": "place", "uses": ["place"], "gazetteer": "city"},
        {"name": "day", "kind": "time", "uses": ["order"]},
        {"name": "people", "kind": "number", "uses": ["feature", "target"]},
    ]
    return {
        "format": 1, "id": "crowds", "version": 1, "title": "Crowds", "purpose": "Tell crowds.",
        "starts": date(2026, 1, 1), "expires": date(2027, 1, 1), "maximum_jobs": 100, "seats": list(PARTIES),
        "independence": "Three companies.", "retention_days": 30,
        "join": {"id_type": "member", "hash": "sha256", "epsilon": 0.1, "delta": 1e-8, "epsilon_budget": 1.0},
        "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                    "period": "contract"},
        "parties": [{"name": p, "organisation": f"{p} company", "signing_key": f"{n + 10:02x}" * 32,
                     "certificate": f"{n + 20:02x}" * 32} for n, p in enumerate(PARTIES)],
        "gazetteers": [{"name": "city", "places": 60, "digest": "ab" * 32}],
        "truths": [{"name": "arrivals", "title": "Visitors", "measures": "arrivals", "provider": "counters",
                    "gazetteer": "city", "error": 0.03, "lateness": 3, "zone": "UTC"}],
        "datasets": [{"name": n, "provider": p, "capacity": 1000, "slots": 1, "personal": False,
                      "columns": deepcopy(columns)} for n, p in FEEDS.items()],
        "crowds": [{
            "name": "shops", "gazetteer": "city", "recipients": ["maps"], "maximum_trainings": 3, "expiry_days": 30,
            "owners": [{"truth": "arrivals", "dataset": "counted", **COLUMNS}],
            "signals": [{"dataset": n, "lateness": 1, **COLUMNS} for n in ("app", "mobiles")],
            "holidays": [{"date": date(2026, 12, 25), "name": "Christmas"}], **crowd,
        }],
    }  # fmt: skip


def request(contract: Contract, **changes: Any) -> JobRequest:
    uses = [{"dataset": n, "column": c, "purpose": u} for n in FEEDS
            for c, u in (("place", "place"), ("day", "order"),
                         ("people", "target" if n == "counted" else "feature"))]  # fmt: skip
    return JobRequest.from_fields({
        "contract_id": contract.id, "contract_hash": contract.hash, "computation": "crowd-train",
        "parameters": {"crowd": "shops", "ends": "2026-03-01"}, "analyst": "maps", "uses": uses, "noise": False,
        "epsilon": 0.0, "epsilon_join": 0.0, "recipients": ["counters"], "attempt": 1,
        "created": "2026-03-02T06:00:00+00:00", "nonce": "00" * 16, "code_version": "1",
        "outputs": [{"name": "changes", "shape": [10]}], **changes,
    })  # fmt: skip


def test_written_and_read_alike() -> None:
    contract = Contract.from_fields(terms())
    again = Contract.from_toml(contract.to_toml())
    assert again.hash == contract.hash
    assert again.crowds == contract.crowds
    without = terms()
    del without["crowds"]
    without["computations"] = [{"name": "funnel", "recipients": ["maps"], "datasets": ["app"]}]
    assert "crowds" not in Contract.from_fields(without).fields(), "older contracts keep their hash"
    said = describe(contract)
    assert "the sum over at least 2 parties" in " ".join(said.split())
    assert "Figures go to maps" in said


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"parameters": {"crowd": "towns", "ends": "2026-03-01"}}, "crowd.unknown"),
        ({"recipients": ["operator"]}, "crowd.recipient"),
        ({"recipients": ["maps"]}, "crowd.recipient"),  # figures are not a training's
        ({"uses": [{"dataset": "app", "column": "people", "purpose": "target"}]}, "crowd.column"),
        ({"uses": [{"dataset": "app", "purpose": "membership"}]}, "crowd.column"),
        ({"noise": True, "epsilon": 0.5}, "crowd.price"),
    ],
)
def test_jobs_that_do_not_fit(changes: dict[str, Any], code: str) -> None:
    contract = Contract.from_fields(terms())
    check_crowd(contract, request(contract), trainings=2)
    with pytest.raises(Refusal) as refused:
        check_crowd(contract, request(contract, **changes), trainings=2)
    assert refused.value.code == code
    with pytest.raises(Refusal) as refused:
        check_crowd(contract, request(contract), trainings=3)
    assert refused.value.code == "crowd.trainings"
    check_crowd(
        contract, request(contract, computation="crowd-day", recipients=["maps"]), trainings=3
    )


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("datasets", 0, "columns", 2, "uses"), ["feature"], "does not have the use 'target'"),
        (("datasets", 1, "provider"), "operator", "one party brings two datasets"),
        (("truths", 0, "provider"), "maps", "is counted by maps"),
        (("crowds", 0, "signals", 0, "value"), "visits", "has no column 'visits'"),
        (("crowds", 0, "owners", 0, "truth"), "people", "there is no truth 'people'"),
    ],
)
def test_clauses_that_do_not_fit_the_contract(path: tuple[Any, ...], value: Any, said: str) -> None:
    made = terms()
    at: Any = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(Refusal) as refused:
        Contract.from_fields(made)
    assert said in refused.value.message
