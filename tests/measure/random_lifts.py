"""Random lift questions over random tables of three organisations, for comparing lift with its twin.

media has letters (an arm and an age, some of them unlisted or missing); mall has visits; shop has orders with
amounts and, without times, members.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from hanse.contracts import Contract
from hanse.rehearsal import Column, Federation

PERSONS, DAYS = 40, 30
ALIKE = 20  # every person twenty times: with k = 20, whatever is not zero is published
ARMS, AGES = ("a", "b", "c"), ("young", "old")
STARTS, ENDS = "2026-01-01", "2026-01-31"


def tables_of(seed: int) -> dict[str, pa.Table]:
    """Random tables; some events lie out of the period, some people are in two arms."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name, most in (("letters", 80), ("visits", 60), ("orders", 90), ("members", 30)):
        rows = int(rng.integers(1, most))
        columns: dict[str, Any] = {"id": [f"p{i}" for i in rng.integers(0, PERSONS, rows)]}
        if name != "members":
            hours = rng.integers(-30, DAYS * 24 + 30, rows)
            columns["at"] = [datetime(2026, 1, 1) + timedelta(hours=int(h)) for h in hours]
        if name == "letters":
            columns["arm"] = [[*ARMS, "z", None][i] for i in rng.integers(0, 5, rows)]
            columns["age"] = [[*AGES, "odd", None][i] for i in rng.integers(0, 4, rows)]
        if name == "orders":
            columns["amount"] = rng.integers(0, 250, rows)
        copies = []
        for number in range(ALIKE):
            ids = [f"{i}-{number}" for i in columns["id"]]
            copies.append(pa.table({**columns, "id": ids}))
        tables[name] = pa.concat_tables(copies)
    return tables


def federation_of(seed: int, **options: Any) -> Federation:
    """The tables of ``seed`` as a federation."""
    columns: dict[str, Any] = {
        "letters": {"arm": Column("arm", values=ARMS), "age": Column("age", values=AGES)},
        "orders": {"amount": Column("amount", maximum=500)},
    }
    fed = Federation(k=20, seed=seed, join_epsilon=1.0, **options)
    for name, table in tables_of(seed).items():
        party = {"letters": "media", "visits": "mall"}.get(name, "shop")
        fed.dataset(
            name, party, table, id="id", time="at" if "at" in table.column_names else None,
            columns=columns.get(name, ()), capacity=ALIKE * PERSONS, slots=8,
        )  # fmt: skip
    return fed


@cache
def contract_of() -> Contract:
    """The contract over such tables."""
    return federation_of(1).contract


def of_arm(arm: str) -> dict[str, Any]:
    return {"dataset": "letters", "where": [{"column": "arm", "equals": arm}]}


def _crowds() -> st.SearchStrategy[dict[str, Any]]:
    leaf = st.one_of(
        st.sampled_from(ARMS).map(of_arm),
        st.integers(1, 2).map(lambda n: {"dataset": "visits", "at_least": n}),
        st.just({"dataset": "members"}),
    )
    pairs = st.lists(leaf, min_size=2, max_size=3)
    return st.one_of(
        leaf, pairs.map(lambda p: {"any_of": p}),
        pairs.map(lambda p: {"all_of": [p[0], {"none_of": p[1:]}]}),
        pairs.map(lambda p: {"of": p, "least": 2}),
    )  # fmt: skip


def _values() -> st.SearchStrategy[dict[str, Any]]:
    where = st.sampled_from([[], [{"column": "amount", "at_least": 40}]])
    return st.builds(
        lambda most, unit, where: {
            "dataset": "orders", "column": "amount", "most": most, "unit": unit, "where": where,
        },
        st.sampled_from([1, 7, 100, 300]), st.sampled_from([1, 10, 100]), where,
    )  # fmt: skip


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A question's parameters."""
    crowds = draw(st.lists(_crowds(), max_size=2))
    values = draw(st.lists(_values(), min_size=0 if crowds else 1, max_size=2))
    found: dict[str, Any] = {
        "outcomes": [{"name": f"o{i}", **o} for i, o in enumerate([*values[:1], *crowds, *values[1:]])],
        "starts": STARTS, "ends": ENDS,
        "weights": draw(st.sampled_from(["treated", "all"])),
        "randomised": draw(st.booleans()),
    }  # fmt: skip
    if draw(st.booleans()):
        found |= {"exposed": draw(_crowds()), "base": draw(_crowds())}
    else:
        arms = draw(st.lists(_crowds(), min_size=2, max_size=4))
        found["arms"] = [{"name": f"arm {i}", **arm} for i, arm in enumerate(arms)]
        found["control"] = f"arm {draw(st.integers(0, len(arms) - 1))}"
    merge = draw(st.sampled_from([None, {}, {"grown": ["old"]}]))
    if merge is not None:
        found["by"] = {"dataset": "letters", "column": "age", **({"merge": merge} if merge else {})}
    return found
