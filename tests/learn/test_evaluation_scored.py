"""A trained model judged on new rows by its parties: figures as in one place, and to whom the plan says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from hanse.align import JoinPolicy
from hanse.engine.stage import agree
from hanse.entropy import SeededEntropy
from hanse.errors import HanseError, Refusal
from hanse.gate.record import Record
from hanse.learn.evaluation import plain
from hanse.learn.evaluation.scored import ScoredPlan, run_party, run_seat
from hanse.wire import Frame, Hall

random = np.random.default_rng(9)
ROWS = 1500
PARTS = random.normal(size=(3, ROWS)) * 0.9
IDS = random.integers(1, 1 << 60, ROWS).astype(np.uint64)
THERE = [np.sort(random.permutation(ROWS)[:1350]) for _ in range(3)]
MARK = random.random(ROWS) < 1 / (1 + np.exp(-PARTS.sum(axis=0)))
MATCHED = np.intersect1d(np.intersect1d(THERE[0], THERE[1]), THERE[2])


def plan_of(**more: Any) -> ScoredPlan:
    parties = tuple((f"p{n}", THERE[n].size + 10) for n in range(3))
    return ScoredPlan(parties, JoinPolicy(1.0, 1e-6), **({"least_rows": 500} | more))


def run(plan: ScoredPlan, tap: Any = None) -> tuple[list[Any], list[Record]]:
    records = [Record() for _ in range(3)]

    def seat(number: int) -> Callable[[Any], Any]:
        def play(channel: Any) -> Any:
            s = agree(channel, number, SeededEntropy(f"seat {number}"), b"scored")
            return run_seat(s, records[number], plan)

        return play

    def party(number: int) -> Callable[[Any], Any]:
        here = THERE[number]
        mark = MARK[here] if number == 0 else None
        entropy = SeededEntropy(f"party {number}")
        return lambda c: run_party(c, plan, number, IDS[here], PARTS[number, here], mark, entropy)

    roles = [*(seat(n) for n in range(3)), *(party(n) for n in range(3))]
    hall = Hall(len(roles), tap=tap, patience=30)
    results: list[Any] = [None] * len(roles)
    errors: list[BaseException] = []

    def live(role: int) -> None:
        try:
            results[role] = roles[role](hall.channel(role))
        except BaseException as error:  # raised below
            errors.append(error)
            hall.fail(error if isinstance(error, HanseError) else Refusal("test", repr(error)))

    threads = [threading.Thread(target=live, args=(role,)) for role in range(len(roles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results, records


def test_exact_figures_go_to_the_party_with_the_label() -> None:
    frames: list[Frame] = []
    lock = threading.Lock()

    def keep(frame: Frame) -> Frame:
        with lock:
            frames.append(frame)
        return frame

    results, records = run(plan_of(tell="figures"), keep)
    told = results[3]
    eta, y = PARTS.sum(axis=0)[MATCHED], MARK[MATCHED]
    p = 1 / (1 + np.exp(-eta))
    assert told.metrics["rows"] == MATCHED.size
    assert abs(told.metrics["auc"] - sk.roc_auc_score(y, eta)) <= told.metrics["auc_error"]
    assert told.metrics["log_loss"] == pytest.approx(sk.log_loss(y, p), abs=1e-4)
    assert told.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, p >= 0.5), abs=1e-9)
    assert sum(told.curve.labels) == y.sum()
    assert results[4].metrics is None
    assert {f.target for f in frames if f.step.startswith("figures")} == {3}
    steps = [o.step for o in records[0].openings if not o.step.startswith("join.")]
    assert steps == ["figures"]


def test_noised_bands_go_to_the_named_parties() -> None:
    results, records = run(plan_of(readers=(0, 2), epsilon=2.0))
    assert results[4].bands is None
    eta, y = PARTS.sum(axis=0)[MATCHED], MARK[MATCHED].astype(float)
    for reader in (3, 5):
        auc = results[reader].bands.auc()
        assert auc.low - auc.bound < plain.auc(eta, y) < auc.high + auc.bound
        assert auc.value == pytest.approx(plain.auc(eta, y), abs=0.05)
    told = [o for o in records[0].openings if not o.step.startswith("join.")]
    assert [(o.to, o.epsilon) for o in told] == [(("p0", "p2"), 2.0)]
    assert len({r.digest() for r in records}) == 1


def test_stability_of_scores_between_two_periods() -> None:
    """The mark is a period here: a label that goes with the score is a population that moved."""
    results, _ = run(plan_of(noise=False))
    found = results[3].bands.psi()
    assert found.value > 0.25


def test_too_few_rows_open_nothing() -> None:
    frames: list[Frame] = []
    with pytest.raises(Refusal) as caught:
        run(plan_of(least_rows=3000), lambda f: frames.append(f) or f)
    assert caught.value.code == "learn.rows"
    assert not [f for f in frames if f.target >= 3]


@pytest.mark.parametrize("bad", [{"readers": ()}, {"readers": (7,)}, {"k": 3}, {"epsilon": 9.0}])
def test_plans_that_make_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        plan_of(**bad).check()
