"""Rows that cannot serve are refused before anybody signs, naming party and column; nothing is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from model_federation import ModelFederation, clause, tables
from pooled_rows import pooled_clause, pooled_terms, table

from hanse.errors import HanseError

TREES = {"trees": 2, "depth": 2, "minimum_rows": 100}


def swapped_in(table: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, [values])
    return table


def refused(
    models: ModelFederation, contract: str, dataset: str, changed: pa.Table, **parameters: Any
) -> HanseError:
    """How a training over these rows ends: at once, with nothing admitted anywhere."""
    source = models.source(dataset)
    whole = source.read_bytes()
    models.give(dataset, changed)
    try:
        with pytest.raises(HanseError) as raised:
            models.train(contract, **parameters)
    finally:
        source.write_bytes(whole)
    for name in ("shop", "media", "neutral"):
        office = models[name].running.office
        assert office.spend.trainings(contract, "churn") == 0
        assert all(
            job.contract != office.contract(contract).hash for job in office.store.jobs.all()
        )
    assert raised.value.remedy
    return raised.value


@pytest.fixture(scope="module")
def boosted(models: ModelFederation) -> str:
    target = {"dataset": "customers", "column": "bought", "weight": "member"}
    features = [{"dataset": "customers", "columns": ["spend"]},
                {"dataset": "audience", "columns": ["minutes", "city", "visits"]}]  # fmt: skip
    return models.contract(models=[
        clause(kind="boosting", alignment="open", maximum_trees=10, target=target, features=features)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "code", "said", "where"),
    [
        ({"bought": [True] * 2000}, "learn.labels", "one class", "customers.bought"),
        ({"bought": [None, *[True, False] * 999, True]}, "learn.labels", "missing labels", "customers.bought"),
        ({"member": [False] * 2000}, "learn.weights", "not all 0", "customers.member"),
    ],
)  # fmt: skip
def test_labels_and_weights_of_trees(
    models: ModelFederation, boosted: str, columns: Any, code: str, said: str, where: str
) -> None:
    error = refused(
        models, boosted, "customers", swapped_in(tables()["customers"], **columns), **TREES
    )
    assert (error.code, said in error.message) == (code, True), error
    assert where in error.where
    assert "shop" in f"{error.message} {error.where}"


@pytest.mark.parametrize("rows", [0, 5])
def test_hardly_any_rows_for_trees(models: ModelFederation, boosted: str, rows: int) -> None:
    error = refused(models, boosted, "audience", tables()["audience"].slice(0, rows), **TREES)
    assert error.code == "learn.rows"
    assert "audience" in error.where


def test_constant_and_missing_columns_are_learned_from(
    models: ModelFederation, boosted: str
) -> None:
    whole = tables()["audience"]
    changed = swapped_in(whole, minutes=pa.nulls(len(whole), pa.float64()), visits=[7] * len(whole))
    models.give("audience", changed)
    try:
        assert models.train(boosted, **TREES).state == "done"
    finally:
        models.give("audience", whole)


def test_pooled_rows(models: ModelFederation) -> None:
    contract = models.contract(**pooled_terms(models), models=[pooled_clause()])
    own = table(1)
    for changed, code, said in (
        (own.slice(0, 5), "learn.rows", "fewer rows"), (own.slice(0, 0), "learn.rows", "fewer rows"),
        (swapped_in(own, bought=[None, *[True] * (len(own) - 1)]), "learn.label", "missing"),
        (swapped_in(own, spend=np.full(len(own), 1e300)), "learn.column", "'spend' has values beyond"),
    ):  # fmt: skip
        error = refused(models, contract, "rows-media", changed)
        assert (error.code, said in error.message) == (code, True), error
        assert "media" in f"{error.message} {error.where}"
