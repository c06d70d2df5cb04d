"""What a modified asking node may not have: cheap matchings, others' models, tests on one person, loose uploads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_federation import ModelFederation, clause, tables

from hanse.contracts import JobRequest
from hanse.entropy import SystemEntropy
from hanse.errors import Foul, Refusal
from hanse.learn.jobs.committed import Recorder, Upload, Verified
from hanse.node.jobs.runner import Question
from hanse.wire import Array


def admitting(models: ModelFederation, **changes: Any) -> Refusal:
    """How the media company's node refuses a training that the shop's asks for with changed terms."""
    contract = models.contract()
    runner = models["shop"].running.runner
    request, _ = runner.draft(Question(contract, "train", {"model": "churn"}, 0.0), {})
    changed = JobRequest.from_fields(request.fields() | changes)
    with pytest.raises(Refusal) as refusal:
        models["media"].running.runner.answer("shop", {"ask": "admit", "request": changed.fields()})
    return refusal.value


@pytest.mark.parametrize(
    "changes",
    [
        # Seats match rows at the contract's epsilon: a smaller price would let them average its padding away.
        {"epsilon_join": 1e-6},
        # The media company would work and count a training, and keep nothing of the model.
        {"recipients": ["shop"]},
    ],
)
def test_a_job_costs_what_it_shows_and_tells_all_whom_it_is_for(
    models: ModelFederation, changes: dict[str, Any]
) -> None:
    assert admitting(models, **changes).code == "gate.request"


@pytest.mark.parametrize("share", [1e-5, 0.04, 0.300001])
def test_a_share_to_test_on_cannot_single_out_a_row(models: ModelFederation, share: float) -> None:
    with pytest.raises(Refusal) as refusal:
        models.train(models.contract(), holdout=share)
    assert refusal.value.code == "question.malformed"


def test_nobody_is_told_how_a_model_does_on_a_few_people(models: ModelFederation) -> None:
    """The label's party brings one row to test on: an exact count would say whether the media company has it."""
    from hanse.catalog import hash_identifiers
    from hanse.learn.jobs.terms import lots

    contract = models.contract(models=[clause(scores=[], online="no")])
    whole = tables()["customers"]
    texts = whole.column("id").to_pylist()
    ids = np.array([int(hash_identifiers([t], "member")[0][0]) for t in texts], np.uint64)
    test = np.flatnonzero(lots(ids, "churn", contract) < 0.3)
    kept = np.setdiff1d(np.arange(whole.num_rows), test[1:])
    models.give("customers", whole.take(kept))
    try:
        with pytest.raises(Refusal) as refusal:
            models.train(contract)
    finally:
        models.give("customers", whole)
    assert refusal.value.code == "learn.test-rows", refusal.value.message


class _Replayed:
    """What a provider sent to seat 0, in order."""

    role = 0

    def __init__(self, sent: Recorder) -> None:
        self._left = [array for to, _, array in sent.messages if to == 0]

    def receive(self, source: int, step: str, dtype: Any, shape: Any) -> Array:
        del source, step, dtype, shape
        found: Array = self._left.pop(0)
        return found

    def send(self, to: int, step: str, array: Array) -> None:
        raise AssertionError("seats send a provider nothing here")


@pytest.mark.parametrize("tied", [2, 1, 0])
def test_a_message_that_nothing_commits_to_is_no_upload(tied: int) -> None:
    """A party that commits to fewer messages than it sends could choose the others after signing."""
    entropy, rows = SystemEntropy(), Recorder()
    for step in ("first", "second"):
        for seat in range(3):
            rows.send(seat, step, np.arange(4, dtype=np.uint64))
    honest = Upload.of("media", rows, entropy)
    lie = Upload("media", honest.messages, honest.nonces, tuple(d[:tied] for d in honest.digests))
    wire = Recorder()
    lie.send(wire)
    checked = Verified(_Replayed(wire), 0, {3: "media"}, {"media": lie.commitment})
    for step in ("first", "second")[:tied]:
        checked.receive(3, step, np.dtype("<u8"), (4,))
    if tied < 2:
        with pytest.raises(Foul) as foul:
            checked.receive(3, "second", np.dtype("<u8"), (4,))
        assert foul.value.code == "model.swapped"
