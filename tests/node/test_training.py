"""Trainings as jobs between three nodes: right, admitted everywhere, counted, and refused where they must be."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from model_federation import CAPACITY, NAMES, ModelFederation, clause, tables

from hanse import menu
from hanse.contracts import JobRequest
from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.gate import Gate
from hanse.learn.jobs import linear
from hanse.learn.jobs.committed import Upload
from hanse.learn.jobs.terms import lots
from hanse.node.jobs.roles import Job
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.models import training
from hanse.node.models.desk import ModelDesk

WITHIN = 10.0


def plain(contract: str, holdout: float = 0.3) -> dict[str, float]:
    """The same model with all columns in one place, on the rows in common that are learned from."""
    from hanse.catalog import hash_identifiers

    both = tables()
    left, right = both["customers"].to_pydict(), both["audience"].to_pydict()
    place = {key: n for n, key in enumerate(right["id"])}
    rows = [n for n, key in enumerate(left["id"]) if key in place]
    ids = np.array(
        [int(hash_identifiers([left["id"][n]], "member")[0][0]) for n in rows], np.uint64
    )
    learned = [
        n for n, lot in zip(rows, lots(ids, "churn", contract), strict=True) if lot >= holdout
    ]
    other = [place[left["id"][n]] for n in learned]
    columns = {
        "spend": [left["spend"][n] for n in learned], "member": [left["member"][n] for n in learned],
        "minutes": [right["minutes"][n] for n in other], "visits": [right["visits"][n] for n in other],
        "city=south": [right["city"][n] == "south" for n in other],
        "city=west": [right["city"][n] == "west" for n in other],
    }  # fmt: skip
    x = np.column_stack([np.ones(len(learned)), *(np.array(c, float) for c in columns.values())])
    y = np.array([left["bought"][n] for n in learned], float)
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        mean = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve((x.T * (mean * (1 - mean))) @ x, x.T @ (y - mean))
    return dict(zip(["intercept", *columns], beta.tolist(), strict=True))


def parts(models: ModelFederation, outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Every party's part of the model that a job made."""
    found = {}
    for name in NAMES:
        with models[name].office() as office:
            if office.models.note(outcome.job) is not None:
                found[name] = office.models.document(outcome.job)["block"]
    return found


def fails(
    models: ModelFederation, contract: str, asking: str = "shop", **parameters: Any
) -> HanseError:
    """The error of a training that must fail, soon."""
    begun = time.monotonic()
    with pytest.raises(HanseError) as raised:
        models.train(contract, asking, **parameters)
    assert time.monotonic() - begun < WITHIN
    assert raised.value.remedy
    return raised.value


# --- what it gives ----------------------------------------------------------------------------------


def test_a_training_gives_each_party_its_part_and_the_label_party_the_metrics(
    models: ModelFederation,
) -> None:
    contract = models.contract()
    outcome = models.train(contract)
    held = parts(models, outcome)
    assert set(held) == {"shop", "media"}
    told = {
        name: value
        for block in held.values()
        for name, value in zip(block["columns"], block["coefficients"][0], strict=True)
    }
    told["intercept"] = sum(block["intercepts"][0] for block in held.values())
    wanted = plain(contract)
    assert told.keys() == wanted.keys()
    assert max(abs(told[k] - wanted[k]) for k in told) < 1e-3
    assert held["shop"]["columns"] == ["spend", "member"]
    card = outcome.result["card"] if outcome.result else {}
    assert card["converged"]
    assert 0.75 < card["metrics"]["auc"] < 0.9
    with models["media"].office() as office:
        assert office.models.document(outcome.job)["card"]["metrics"] == {}


def test_every_ledger_has_admission_openings_and_end(models: ModelFederation) -> None:
    outcome = models.train(models.contract())
    models.settle()
    for name in NAMES:
        member = models[name]
        for kind in ("reserve", "permit", "commit", "disclosure", "job"):
            assert [b for b in member.entries(kind) if b["job"] == outcome.job], f"{name}: {kind}"
        openings = member.entries("disclosure")[-1]["openings"]
        told = {o["step"]: o["to"] for o in openings if o["to"] != ["seats"]}
        assert told == {"model.shop": ["shop"], "model.media": ["media"], "metrics": ["shop"],
                        "facts": ["media", "shop"]}  # fmt: skip
        assert member.entries("job")[-1]["state"] == "done"
    with models["shop"].office() as office:
        lines = [line.message for line in office.store.jobs.lines(outcome.job, 1)]
        assert "customers: 2,000 rows brought to the model" in lines
    assert models["shop"].entries("model")[-1]["action"] == "kept"
    assert not models["neutral"].entries("model")


def test_p_values_go_to_whom_the_contract_names(models: ModelFederation) -> None:
    outcome = models.train(models.contract(models=[clause(p_values=["media"])]))
    held = parts(models, outcome)
    assert "p_values" not in held["shop"]
    values = dict(zip(held["media"]["columns"], held["media"]["p_values"], strict=True))
    assert values["minutes"] < 1e-6
    assert values["city=west"] > 0.01  # it has no effect
    errors = dict(zip(held["media"]["columns"], held["media"]["errors"], strict=True))
    assert 0.05 < errors["minutes"] < 0.15


def test_a_model_of_rows_that_are_not_people_in_the_open(models: ModelFederation) -> None:
    terms = models.terms()
    for dataset in terms["datasets"]:
        dataset |= {"personal": False, "legal_basis": None, "evidence": None}
    changed = clause(alignment="open", authorisation="not-personal", evidence=None)
    contract = models.contract(datasets=terms["datasets"], models=[changed])
    held = parts(models, models.train(contract))
    value = held["media"]["coefficients"][0][0]
    assert abs(value - plain(contract)["minutes"]) < 1e-3


# --- refused ----------------------------------------------------------------------------------------


def test_trainings_are_counted_and_a_failed_one_is_not(models: ModelFederation) -> None:
    contract = models.contract(models=[clause(maximum_trainings=1)])
    assert fails(models, contract, l2=99).code == "question.malformed"
    broken = models["media"].running.office.desk
    kept, broken.entropy = broken.entropy, None  # type: ignore[assignment]
    try:
        assert fails(models, contract).code == "node.internal"
    finally:
        broken.entropy = kept
    models.train(contract)
    error = fails(models, contract, "media")
    assert error.code == "model.trainings"
    assert "models[churn].maximum_trainings" in error.where


def test_only_what_the_contract_names(models: ModelFederation) -> None:
    contract = models.contract()
    assert fails(models, contract, model="other").code == "model.unknown"
    assert fails(models, contract, trees=3).code == "question.malformed"
    empty = models.contract(models=[], computations=[
        {"name": "overlap", "recipients": ["shop"], "datasets": ["customers", "audience"]}])  # fmt: skip
    assert fails(models, empty).code == "model.unknown"


def test_a_party_that_has_suspended_the_contract(models: ModelFederation) -> None:
    contract = models.contract()
    with models["media"].office() as office:
        office.set_state(contract, "suspended", "a test")
    error = fails(models, contract)
    assert error.code == "contract.suspended"
    assert "media" in str(error)
    assert "refusal" in {e.kind for e in models["media"].running.office.ledger.entries()}


def test_too_few_rows(models: ModelFederation) -> None:
    contract = models.contract(models=[clause(least_rows=CAPACITY)])
    error = fails(models, contract)
    assert error.code == "learn.rows"
    models.settle()
    jobs = models["neutral"].running.office.store.jobs.all(limit=1)
    assert jobs[0].state == "refused"


def test_a_missing_value_is_named(models: ModelFederation) -> None:
    contract = models.contract()
    table = tables()["audience"]
    minutes = table.column("minutes").to_pylist()
    minutes[17] = None
    models.give("audience", table.set_column(1, "minutes", [minutes]))
    try:
        error = fails(models, contract)
    finally:
        models.give("audience", table)
    assert error.code == "learn.missing"
    assert "minutes" in str(error)
    assert "media" in str(error)


def test_an_id_with_two_rows_is_refused(models: ModelFederation) -> None:
    import pyarrow as pa

    contract, table = models.contract(), tables()["audience"]
    models.give("audience", pa.concat_tables([table, table.slice(3, 1)]))
    try:
        error = fails(models, contract)
    finally:
        models.give("audience", table)
    assert error.code == "catalog.repeated"
    assert "audience" in str(error)


# --- cheating ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["another commitment", "other rows behind the same one"])
def test_a_party_that_swaps_its_columns_after_signing_is_named(
    models: ModelFederation, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    contract = models.contract()
    desk = models["media"].running.office.desk
    real = ModelDesk.prepare
    made: list[Upload] = []
    monkeypatch.setattr(Upload, "of", _noting(Upload.of, made))

    def prepare(self: ModelDesk, plan: Any, agreed: Any, request: JobRequest) -> dict[str, str]:
        answer = real(self, plan, agreed, request)
        if self is desk:
            first = made[-1]
            real(self, plan, agreed, request)  # the same rows, shared anew: what is sent differs
            second = made[-1]
            lie = second if way == "another commitment" else Upload(
                first.party, second.messages, first.nonces, first.digests
            )  # fmt: skip
            self._waiting[answer["audience"]].send = lambda channel, _: lie.send(channel)
        return answer

    monkeypatch.setattr(ModelDesk, "prepare", prepare)
    error = fails(models, contract)
    assert isinstance(error, Foul)
    assert error.code == "model.swapped"
    assert "media" in error.message
    assert not parts_now(models, contract)


def _noting(real: Any, made: list[Upload]) -> Any:
    def of(*arguments: Any) -> Upload:
        made.append(real(*arguments))
        return made[-1]

    return staticmethod(of)


def parts_now(models: ModelFederation, contract: str) -> list[str]:
    """Parties that hold a part of a model of the contract."""
    found = []
    for name in NAMES:
        with models[name].office() as office:
            found += [name for m in office.models.all() if m.note["contract"] == contract]
    return found


def test_no_output_is_read_that_one_gate_refused(
    models: ModelFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The media company's gate says no at the last moment: nobody gets a part, the job has failed everywhere."""
    contract = models.contract()
    real = Gate.commit

    def commit(self: Gate, request: JobRequest, record: Any) -> None:
        if self.party == "media":
            raise Refusal("gate.test", "media says no", remedy="ask media", where="media")
        real(self, request, record)

    monkeypatch.setattr(Gate, "commit", commit)
    error = fails(models, contract)
    assert error.code == "gate.test"
    models.settle()
    assert parts_now(models, contract) == []
    for name in NAMES:
        assert models[name].running.office.store.jobs.all(limit=1)[0].state != "done"


def test_the_same_request_again_is_refused(models: ModelFederation) -> None:
    """A replay of a finished training's request, by the party that asked for it."""
    outcome = models.train(models.contract())
    stored = models["shop"].running.office.job(outcome.job)
    with pytest.raises(Fault) as fault:
        models["media"].running.runner.answer("shop", {"ask": "admit", "request": stored.request})
    assert fault.value.code == "budget.reserved"


def test_what_was_prepared_serves_one_job_only(models: ModelFederation) -> None:
    """Two requests over the same commitments: the second would be opened by locks that the first one opened."""
    contract = models.contract()
    runner = models["shop"].running.runner
    question = Question(contract, "train", {"model": "churn"}, 0.0)
    request, _ = runner.draft(question, {})
    commitments = {}
    for name in ("shop", "media"):
        document = {"ask": "prepare", "request": request.fields()}
        commitments |= models[name].running.runner.answer("shop", document)
    first, plan = runner.draft(question, commitments)
    second, _ = runner.draft(question, commitments)
    assert first.job_hash != second.job_hash
    desk = models["media"].running.office.desk
    bundle = models["media"].running.office.bundle(contract)
    jobs = [Job(r, bundle.contract, menu.entry("train"), plan) for r in (first, second)]
    desk.tell = lambda _request, _line: None  # no node has admitted them
    assert desk._prepared(jobs[0]) is desk._prepared(jobs[0])
    with pytest.raises(Refusal) as refusal:
        desk._prepared(jobs[1])
    assert refusal.value.code == "model.prepared"
    for name in ("shop", "media"):
        models[name].running.office.desk.release(jobs[0])


def test_a_party_that_is_lost_ends_the_training(models: ModelFederation) -> None:
    contract = models.contract()
    models["media"].stop()
    try:
        error = fails(models, contract)
        assert "media" in str(error)
    finally:
        models.start()
    assert models.train(contract).state == "done"


# --- other kinds, and nodes that stop ---------------------------------------------------------------


def test_several_classes_and_their_scores(models: ModelFederation) -> None:
    terms = models.terms()
    terms["datasets"][1]["columns"][1]["uses"] = ["target"]  # the city, of three
    changed = clause(
        kind="multinomial", target={"dataset": "audience", "column": "city"}, metrics=["media"], scores=["media"],
        features=[{"dataset": "customers", "columns": ["spend", "member"]},
                  {"dataset": "audience", "columns": ["minutes", "visits"]}],
    )  # fmt: skip
    contract = models.contract(datasets=terms["datasets"], models=[changed])
    outcome = models.train(contract, "media", holdout=0.0)
    held = parts(models, outcome)
    assert len(held["shop"]["coefficients"]) == 3
    assert held["media"]["label"]["classes"] == ["north", "south", "west"]
    scored = models.score(contract, outcome.job, asking="media", receiver="media")
    table = pq.read_table(models["media"].data / "scores" / f"{scored.job}.parquet")
    assert table.column_names == ["id", "score_north", "score_south", "score_west"]
    shares = np.column_stack([table[c].drop_null().to_numpy() for c in table.column_names[1:]])
    assert np.allclose(shares.sum(axis=1), 1)


@pytest.mark.parametrize("name", ["media", "neutral"])
def test_a_node_that_stops_in_the_middle(
    models: ModelFederation, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error that names it, at all nodes, soon; the training is not counted, and works when the node is back."""
    contract = models.contract(models=[clause(maximum_trainings=1)])
    inside = threading.Event()
    real = linear.compute

    def slow(s: Any, record: Any, plan: Any) -> Any:
        inside.set()
        time.sleep(0.5)
        return real(s, record, plan)

    monkeypatch.setitem(training._COMPUTE, linear.LinearPlan, slow)
    errors: list[HanseError] = []

    def ask() -> None:
        try:
            models.train(contract)
        except HanseError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert inside.wait(10)
    begun = time.monotonic()
    models[name].stop()
    thread.join(WITHIN)
    assert time.monotonic() - begun < WITHIN
    assert errors, "the training went on without it"
    assert errors[0].code == "node.stopping"
    assert name in str(errors[0])
    monkeypatch.undo()
    models.start()
    models.settle()
    for party in NAMES:
        stored = models[party].running.office.store.jobs.all(limit=1)[0]
        assert (stored.error or {}).get("code") == "node.stopping", party
        assert models[party].running.office.spend.trainings(contract, "churn") == 0
    assert models.train(contract).state == "done"
