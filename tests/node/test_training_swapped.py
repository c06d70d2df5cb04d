"""A party that plays other rows than it signed, in every way of training: one error everywhere, nothing spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from model_federation import NAMES, ModelFederation, clause
from pooled_rows import pooled_clause, pooled_terms

from hanse.contracts import JobRequest
from hanse.errors import Foul, HanseError
from hanse.learn.jobs.sealed import KeptEntropy, Seal, opening_of
from hanse.learn.jobs.terms import U64, HomeRows
from hanse.node.faces import models as models_facade
from hanse.node.models.desk import ModelDesk, Prepared

Change = Callable[[HomeRows], HomeRows]
TREES = {"trees": 2, "depth": 2}


def two_columns(rows: HomeRows) -> HomeRows:
    return replace(rows, values=rows.values[:, [1, 0, *range(2, rows.values.shape[1])]])


def weights(rows: HomeRows) -> HomeRows:
    assert rows.weight is not None
    return replace(rows, weight=rows.weight[::-1].copy())


def labels(rows: HomeRows) -> HomeRows:
    assert rows.target is not None
    return replace(rows, target=1 - rows.target)


def other_keys(rows: HomeRows) -> HomeRows:
    """The same rows, the first one under another key."""
    return replace(rows, ids=moved(rows.ids))


def moved(ids: U64) -> U64:
    """Keys that still rise, the first one another."""
    found = ids.copy()
    found[0] ^= np.uint64(1)
    return found


def agreed(models: ModelFederation, kind: str) -> tuple[str, dict[str, Any]]:
    """(a contract of rows in the open, parameters of a training) of a kind."""
    if kind == "pooled":
        return models.contract(**pooled_terms(models), models=[pooled_clause()]), {}
    terms = models.terms()
    for dataset in terms["datasets"]:
        dataset |= {"personal": False, "legal_basis": None, "evidence": None}
    target = {"dataset": "customers", "column": "bought", "weight": "member"}
    features = [{"dataset": "customers", "columns": ["spend"]},
                {"dataset": "audience", "columns": ["minutes", "visits"]}]  # fmt: skip
    changed = clause(
        kind=kind, alignment="open", authorisation="not-personal", evidence=None, target=target,
        features=features, **({"maximum_trees": 10} if kind == "boosting" else {}),
    )  # fmt: skip
    contract = models.contract(datasets=terms["datasets"], models=[changed])
    return contract, dict(TREES) if kind == "boosting" else {}


def changing(monkeypatch: pytest.MonkeyPatch, desk: ModelDesk, change: Change) -> None:
    """The desk's party changes its rows once every permit is signed: what it kept to play with, or to send."""
    real, read = ModelDesk.prepare, type(desk.bringer)._read

    def prepare(self: ModelDesk, plan: Any, contract: Any, request: JobRequest) -> dict[str, str]:
        answer = real(self, plan, contract, request)
        if self is desk:
            kept = self._waiting[next(iter(answer.values()))]
            if plan.way == "open":
                kept.home.rows = change(kept.home.rows)
            else:
                monkeypatch.setattr(type(desk.bringer), "_read", changed)
                again = real(self, plan, contract, request)
                monkeypatch.setattr(type(desk.bringer), "_read", read)
                kept.send = self._waiting.pop(next(iter(again.values()))).send
        return answer

    def changed(*arguments: Any, **options: Any) -> HomeRows:
        return change(read(*arguments, **options))

    monkeypatch.setattr(ModelDesk, "prepare", prepare)


def require_ended(models: ModelFederation, contract: str, party: str, error: HanseError) -> None:
    """One clear error that names the party, the same at every node; nothing spent or kept."""
    assert isinstance(error, Foul)
    assert error.code == "model.swapped"
    assert party in error.message
    assert "before the job was signed" in error.message
    assert error.remedy
    models.settle()
    for name in NAMES:
        office = models[name].running.office
        job = office.store.jobs.all(limit=1)[0]
        assert job.state == "failed"
        assert job.error is not None
        assert job.error["code"] == "model.swapped", f"{name}: {job.error}"
        assert party in job.error["message"]
        assert office.spend.trainings(contract, "churn") == 0
        assert not [e for e in models[name].entries("commit") if e["job"] == job.job]
        assert all(m.note["contract"] != contract for m in office.models.all())


@pytest.mark.parametrize(
    ("kind", "party", "change"),
    [
        ("logistic", "media", two_columns), ("logistic", "shop", weights), ("boosting", "media", two_columns),
        ("boosting", "shop", weights), ("pooled", "neutral", two_columns), ("pooled", "media", labels),
    ],
)  # fmt: skip
def test_rows_that_changed_after_signing_end_the_job_everywhere(
    models: ModelFederation, monkeypatch: pytest.MonkeyPatch, kind: str, party: str, change: Change
) -> None:
    contract, parameters = agreed(models, kind)
    with monkeypatch.context() as swapping:
        changing(swapping, models[party].running.office.desk, change)
        with pytest.raises(HanseError) as raised:
            models.train(contract, **parameters)
        require_ended(models, contract, party, raised.value)
    assert models.train(contract, **parameters).state == "done"  # the honest party asks again


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_node_that_does_not_check_itself_is_found_by_the_keys_it_shows(
    models: ModelFederation, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It shows the seal that it signed, and plays rows under other keys: the others see the keys."""
    contract, parameters = agreed(models, kind)
    desk = models["media"].running.office.desk
    if kind == "boosting":
        changing(monkeypatch, desk, other_keys)
        monkeypatch.setattr(Seal, "require", lambda self, rows: None)
    else:
        real = ModelDesk.prepare

        def prepare(self: ModelDesk, plan: Any, agreed: Any, request: JobRequest) -> dict[str, str]:
            answer = real(self, plan, agreed, request)
            if self is desk:
                _shift_keys(self._waiting[next(iter(answer.values()))])
            return answer

        monkeypatch.setattr(ModelDesk, "prepare", prepare)
    with pytest.raises(HanseError) as raised:
        models.train(contract, **parameters)
    assert raised.value.code == "model.swapped"
    assert raised.value.message.startswith("media shows other keys")


def _shift_keys(prepared: Prepared) -> None:
    """What the party will show as the keys of its rows, behind the true commitment."""
    cells = dict(
        zip(prepared.send.__code__.co_freevars, prepared.send.__closure__ or (), strict=True)  # type: ignore[attr-defined]
    )
    parts = cells["parts"].cell_contents
    for name, split in parts.items():
        parts[name] = replace(split, ids=moved(split.ids))


def test_a_node_that_shows_another_seal_than_it_signed_is_named(
    models: ModelFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, parameters = agreed(models, "pooled")
    desk, real = models["media"].running.office.desk, ModelDesk.sealed

    def sealed(self: ModelDesk, job: Any) -> Seal | None:
        honest = real(self, job)
        if self is not desk or honest is None:
            return honest
        home = self._prepared(job).home
        return Seal.of("media", honest.names, two_columns(home.rows), KeptEntropy(bytes(32)))

    monkeypatch.setattr(ModelDesk, "sealed", sealed)
    with pytest.raises(HanseError) as raised:
        models.train(contract, **parameters)
    require_ended(models, contract, "media", raised.value)


@pytest.mark.parametrize("kind", ["logistic", "boosting", "pooled"])
def test_what_was_signed_can_be_opened_against_the_data(models: ModelFederation, kind: str) -> None:
    """The party's own node says whether its rows are those of then; two changed columns are found."""
    contract, parameters = agreed(models, kind)
    models.train(contract, **parameters)
    name = "rows-media" if kind == "pooled" else "audience"
    columns = ("spend", "bought") if kind == "pooled" else ("minutes", "visits")
    with models["media"].office() as office:
        found = models_facade.audited(office, "churn")
        request = office.store.jobs.get(found["training"])
    assert found["fits"]
    assert request is not None
    assert found["signed"] == request.request["commitments"][name]
    table = models.source(name)
    whole = table.read_bytes()
    _swap(models, name, *columns)
    try:
        with models["media"].office() as office:
            assert not models_facade.audited(office, "churn")["fits"]
            assert office.models.exported("churn").get("opening") is None  # it stays at home
    finally:
        table.write_bytes(whole)
    actions = [e["action"] for e in models["media"].entries("model")]
    assert "audited: the rows do not fit" in actions


def _swap(models: ModelFederation, name: str, first: str, second: str) -> None:
    """Change a dataset's file so that two columns hold other values of the same kinds."""
    import pyarrow.parquet as pq

    table = pq.read_table(models.source(name))
    for column in (first, second):
        place = table.column_names.index(column)
        table = table.set_column(place, column, [table.column(column).to_pylist()[::-1]])
    models.give(name, table)


# --- the seal itself --------------------------------------------------------------------------------


def test_a_seal_is_over_everything_and_hides_under_its_secret() -> None:
    rng = np.random.default_rng(3)
    rows = HomeRows(
        np.sort(rng.integers(0, 1 << 60, 20).astype(np.uint64)), rng.normal(size=(20, 3)),
        rng.normal(size=20), None, rng.random(20), rng.random(20),
    )  # fmt: skip
    names, secret = ["a", "b", "c"], b"\x07" * 32
    seal = Seal.of("shop", names, rows, KeptEntropy(secret))
    seal.require(rows)
    opening = opening_of(secret)
    again = Seal.of("shop", names, rows, KeptEntropy(bytes.fromhex(opening["secret"])))
    assert again.commitment == seal.commitment
    assert Seal.of("shop", names, rows, KeptEntropy(bytes(32))).commitment != seal.commitment
    assert Seal.of("shop", ["b", "a", "c"], rows, KeptEntropy(secret)).commitment != seal.commitment
    changes: list[HomeRows] = [
        two_columns(rows), weights(rows), replace(rows, weight=None), replace(rows, offset=rows.weight),
        replace(rows, ids=rows.ids + np.uint64(1)), replace(rows, target=rows.weight),
        replace(rows, weight=rows.offset, offset=rows.weight),
    ]  # fmt: skip
    for changed in changes:
        with pytest.raises(Foul):
            seal.require(changed)
