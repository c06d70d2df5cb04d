"""Joint scores: right for every row that all parties have, told to one party, never from a part of the parties."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model_federation import NAMES, PEOPLE, ModelFederation, clause, person, tables

from hanse.clock import SystemClock
from hanse.errors import HanseError
from hanse.node.faces import models as models_facade
from hanse.node.jobs.runner import Outcome
from hanse.wire import Frame

WITHIN = 10.0


@pytest.fixture(scope="module")
def trained(models: ModelFederation) -> tuple[str, str]:
    """A contract, and the job that trained its model."""
    contract = models.contract()
    return contract, models.train(contract).job


@pytest.fixture
def linked(models: ModelFederation) -> Iterator[ModelFederation]:
    yield models
    models.start()


def expected(models: ModelFederation, training: str) -> dict[str, float]:
    """Scores by id, from the parts of both parties side by side: what nobody has outside a test."""
    blocks = {}
    for name in ("shop", "media"):
        with models[name].office() as office:
            blocks[name] = office.models.document(training)["block"]
    eta: dict[str, float] = {}
    for name, table in zip(("shop", "media"), tables().values(), strict=True):
        rows, block = table.to_pylist(), blocks[name]
        here = {}
        for row in rows:
            values = [_value(row, column) for column in block["columns"]]
            here[row["id"]] = (
                float(np.dot(values, block["coefficients"][0])) + block["intercepts"][0]
            )
        eta = here if not eta else {k: v + here[k] for k, v in eta.items() if k in here}
    return {k: 1 / (1 + np.exp(-v)) for k, v in eta.items()}


def _value(row: dict[str, Any], column: str) -> float:
    name, equals, value = column.partition("=")
    return float(row[name] == value) if equals else float(row[name])


def scores_of(models: ModelFederation, outcome: Outcome) -> dict[str, float | None]:
    models.settle()  # whoever asks may be done before the receiver has written its file
    path = models["shop"].data / "scores" / f"{outcome.job}.parquet"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return dict(zip(*pq.read_table(path).to_pydict().values(), strict=True))


def fails(models: ModelFederation, contract: str, training: str, **more: Any) -> HanseError:
    begun = time.monotonic()
    with pytest.raises(HanseError) as raised:
        models.score(contract, training, **more)
    assert time.monotonic() - begun < WITHIN
    assert raised.value.remedy
    return raised.value


# --- batches ----------------------------------------------------------------------------------------


def test_every_row_in_common_has_its_score_and_no_other(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    outcome = models.score(contract, training)
    found, wanted = scores_of(models, outcome), expected(models, training)
    assert set(found) == {person(n) for n in range(PEOPLE)}
    assert {k for k, v in found.items() if v is not None} == set(wanted)
    assert max(abs(found[k] - v) for k, v in wanted.items()) < 1e-5  # type: ignore[operator]
    assert outcome.result
    assert (outcome.result["rows"], outcome.result["scored"]) == (PEOPLE, len(wanted))


def test_nobody_else_is_told_a_score(models: ModelFederation, trained: tuple[str, str]) -> None:
    contract, training = trained
    outcome = models.score(contract, training)
    models.settle()
    for name in ("media", "neutral"):
        with models[name].office() as office:
            assert (office.job(outcome.job).result or {}).get("result") is None
        assert not list((models[name].data / "scores").glob("*"))
    opened = models["media"].entries("disclosure")[-1]["openings"]
    assert [o["to"] for o in opened if o["to"] != ["seats"]] == [["shop"]]


def test_another_party_may_ask_but_not_receive(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    outcome = models.score(contract, training, asking="neutral")
    assert outcome.result is None
    assert len(scores_of(models, outcome)) == PEOPLE
    assert fails(models, contract, training, receiver="media").code == "model.recipient"
    assert fails(models, contract, training, receiver="neutral").code == "model.recipient"


def test_a_linear_model_is_scored_in_the_labels_units_by_a_party_without_the_label(
    models: ModelFederation,
) -> None:
    terms = models.terms()
    terms["datasets"][0]["columns"][1]["uses"] = ["target"]
    changed = clause(
        kind="linear", target={"dataset": "customers", "column": "spend"}, scores=["media"],
        features=[{"dataset": "customers", "columns": ["member"]},
                  {"dataset": "audience", "columns": ["minutes"]}],
    )  # fmt: skip
    contract = models.contract(datasets=terms["datasets"], models=[changed])
    table = tables()["customers"]
    moved = (
        np.array(table.column("spend").to_pylist()) * 50 + 1000
    )  # a mean and deviation to be seen
    models.give("customers", table.set_column(2, "spend", [moved.tolist()]))
    try:
        training = models.train(contract).job
        outcome = models.score(contract, training, asking="media", receiver="media")
    finally:
        models.give("customers", table)
    values = pq.read_table(models["media"].data / "scores" / f"{outcome.job}.parquet")[
        "score"
    ].to_pylist()
    known = [v for v in values if v is not None]
    assert 990 < np.mean(known) < 1010


def test_rows_with_missing_values_have_no_score(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    table = tables()["audience"]
    minutes: list[float | None] = table.column("minutes").to_pylist()
    minutes[10:20] = [None] * 10
    models.give("audience", table.set_column(1, "minutes", [minutes]))
    try:
        outcome = models.score(contract, training)
    finally:
        models.give("audience", table)
    wanted = expected(models, training)
    assert outcome.result
    assert outcome.result["scored"] == len(wanted) - 10


def test_many_buckets_give_the_same_scores(
    models: ModelFederation, trained: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hanse.learn.scoring import batch

    monkeypatch.setattr(batch, "_BUCKET_ROWS", 700)  # at all nodes: they are in this process
    contract, training = trained
    outcome = models.score(contract, training)
    found, wanted = scores_of(models, outcome), expected(models, training)
    assert {k for k, v in found.items() if v is not None} == set(wanted)
    assert max(abs(found[k] - v) for k, v in wanted.items()) < 1e-5  # type: ignore[operator]
    models.settle()
    with models["neutral"].office() as office:
        steps = {o["step"] for o in office.job(outcome.job).result["facts"]["openings"]}  # type: ignore[index]
    assert {"bucket0.tags", "bucket3.tags"} <= steps


# --- one row ----------------------------------------------------------------------------------------


def one(
    models: ModelFederation, contract: str, training: str, asked: str, asking: str = "shop"
) -> Outcome:
    parameters = {"model": "churn", "training": training, "receiver": asking}
    return models.ask(contract, "score-one", asking, parameters, asked=asked)


def test_one_row(models: ModelFederation, trained: tuple[str, str]) -> None:
    contract, training = trained
    outcome = one(models, contract, training, person(777))
    assert outcome.result
    assert abs(outcome.result["score"] - expected(models, training)[person(777)]) < 1e-5
    again = one(models, contract, training, person(778))
    assert again.result != outcome.result
    asked = [
        o for o in models["media"].entries("disclosure")[-1]["openings"] if o["step"] == "asked"
    ]
    assert asked[0]["to"] == ["media"]
    models.settle()
    for name in NAMES:  # which row it was stands in no record
        with models[name].office() as office:
            text = json.dumps([office.job(outcome.job).request, office.job(outcome.job).result])
            assert person(777) not in text + json.dumps([e.body for e in office.ledger.entries()])


def test_one_row_that_a_party_lacks_has_no_score(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    with pytest.raises(HanseError) as raised:
        one(models, contract, training, person(5))
    assert raised.value.code == "model.no-row"
    assert "media" in str(raised.value)
    assert person(5) not in str(raised.value)


def test_one_row_only_where_the_contract_allows_it(models: ModelFederation) -> None:
    contract = models.contract(models=[clause(online="no")])
    training = models.train(contract).job
    with pytest.raises(HanseError) as raised:
        one(models, contract, training, person(777))
    assert raised.value.code == "model.online"
    assert "models[churn].online" in str(raised.value)


# --- what ends a model ------------------------------------------------------------------------------


def test_without_one_party_there_is_no_score(
    linked: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    linked["media"].stop()
    error = fails(linked, contract, training)
    assert "media" in str(error)
    linked.start()
    assert linked.score(contract, training).state == "done"


def test_a_deleted_part_ends_the_model(models: ModelFederation) -> None:
    contract = models.contract()
    training = models.train(contract).job
    with models["media"].office() as office:
        models_facade.delete(office, training, "a test")
    error = fails(models, contract, training)
    assert error.code == "model.missing"
    assert "media has deleted" in error.message
    assert models["media"].entries("model")[-1]["action"] == "deleted"
    with models["media"].office() as office, pytest.raises(HanseError) as raised:
        office.models.document(training)
    assert raised.value.code == "model.missing"


class Later(SystemClock):
    """The machine's clock, 31 days on."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=31)


def test_an_expired_model_is_refused_by_the_party_whose_part_it_is(
    linked: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, _ = trained
    training = linked.train(contract).job
    linked["media"].stop()
    linked["media"].start(clock=Later())
    linked.start()
    error = fails(linked, contract, training)
    linked["media"].stop()
    assert error.code == "model.expired"
    assert "media" in str(error)
    with linked["media"].office() as office:
        gone = next(m for m in office.models.all() if m.job == training)
        assert (gone.state, gone.document) == ("expired", None)


def test_an_ended_contract_ends_its_models(models: ModelFederation) -> None:
    contract = models.contract()
    training = models.train(contract).job
    with models["media"].office() as office:
        office.set_state(contract, "ended", "a test")
    assert fails(models, contract, training).code == "contract.suspended"


def test_a_training_that_was_never_made(models: ModelFederation, trained: tuple[str, str]) -> None:
    assert fails(models, trained[0], "ab" * 32).code == "model.missing"


def test_scores_of_changed_rows_are_of_the_rows_that_were_committed_to(
    models: ModelFederation,
) -> None:
    """A file that changes after the job was prepared changes nothing in it."""
    contract = models.contract()
    training = models.train(contract).job
    desk, real = models["media"].running.office.desk, type(models["media"].running.office.desk).send
    table = tables()["audience"]

    def send(job: Any) -> Any:
        models.give("audience", table.set_column(1, "minutes", [pa.array([0.0] * len(table))]))
        return real(desk, job)

    desk.send = send  # type: ignore[method-assign]
    try:
        outcome = models.score(contract, training)
    finally:
        del desk.send
        models.give("audience", table)
    found, wanted = scores_of(models, outcome), expected(models, training)
    assert max(abs(found[k] - v) for k, v in wanted.items()) < 1e-5  # type: ignore[operator]


def test_scores_that_nobody_collects_end_with_the_contracts_retention(
    models: ModelFederation,
) -> None:
    contract = models.contract()
    outcome = models.score(contract, models.train(contract).job)
    path = models["shop"].data / "scores" / f"{outcome.job}.parquet"
    with models["shop"].office() as office:
        models_facade.end_scores(office, SystemClock().now() + timedelta(days=29))
        assert path.is_file()
        models_facade.end_scores(office, SystemClock().now() + timedelta(days=31))
    assert not path.exists()


# --- one row that stays hidden ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hidden(models: ModelFederation) -> tuple[str, str]:
    """A contract under which single rows stay hidden, and the job that trained its model."""
    contract = models.contract(models=[clause(online="hidden")])
    return contract, models.train(contract).job


@pytest.mark.parametrize("rows", [1 << 17, 700])
def test_a_hidden_row(
    models: ModelFederation, hidden: tuple[str, str], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    from hanse.learn.scoring import batch

    monkeypatch.setattr(batch, "_BUCKET_ROWS", rows)
    contract, training = hidden
    wanted = expected(models, training)
    for number in (777, 1500):
        outcome = one(models, contract, training, person(number))
        assert outcome.result
        assert abs(outcome.result["score"] - wanted[person(number)]) < 1e-5
    absent = one(
        models, contract, training, person(5)
    )  # the media company lacks it, and does not learn that
    assert absent.result
    assert absent.result["score"] is None
    openings = models["media"].entries("disclosure")[-1]["openings"]
    assert [o["to"] for o in openings if o["to"] != ["seats"]] == [["shop"]]


def test_a_hidden_row_is_the_same_to_the_others_whichever_it_is(
    models: ModelFederation, hidden: tuple[str, str]
) -> None:
    """The media company sends the same steps to the same parties, whether it has the row or not."""
    contract, training = hidden
    steps: list[set[str]] = []
    for number in (777, 5):
        seen: set[str] = set()

        def tap(party: str, frame: Frame, seen: set[str] = seen) -> list[Frame]:
            if isinstance(frame.body, np.ndarray):
                seen.add(f"{party} {frame.step}")
            return [frame]

        models["media"].running.exchange.tap = tap
        try:
            one(models, contract, training, person(number))
        finally:
            models["media"].running.exchange.tap = None
        steps.append(seen)
    assert steps[0] == steps[1]
    assert len(steps[0]) > 20


def test_a_hidden_row_costs_the_price_of_a_matching(
    models: ModelFederation, hidden: tuple[str, str]
) -> None:
    contract, training = hidden
    before = [b for b in models["media"].entries("reserve") if b["contract"] == contract]
    one(models, contract, training, person(800))
    after = [b for b in models["media"].entries("reserve") if b["contract"] == contract]
    assert len(after) == len(before) + 1
    assert after[-1]["epsilon_join"] == 1.0
    assert person(800) not in json.dumps(after)
