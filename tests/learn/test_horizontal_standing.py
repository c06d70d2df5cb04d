"""What the common model of pooled rows is worth beside each party alone and the ensemble of their own models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worlds_horizontal import PARTIES, homes

from hanse.learn.evaluation.asked import Asked
from hanse.learn.evaluation.horizontal_report import horizontal
from hanse.learn.evaluation.rivals import ENSEMBLE
from hanse.learn.features.reading import Prepared
from hanse.learn.horizontal import Averaging, Boosting, Home, Plan, rehearse
from hanse.learn.horizontal.rehearsal import Outcome
from hanse.learn.horizontal.roles import own_model
from hanse.learn.linear.home import Columns
from hanse.learn.linear.tables import Table

PLANS: dict[str, Any] = {
    "newton": {"method": "newton"},
    "average": {"method": "average", "averaging": Averaging(rounds=3)},
    "boosting": {"method": "boosting", "boosting": Boosting(trees=3, depth=2)},
}


def by_hand(given: list[Home], outcome: Outcome, plan: Plan) -> dict[str, float]:
    """The figures that sums must give, with all rows at hand."""
    scaling = next(r for r in outcome.results if r is not None).chosen.common.scaling
    kind, total = scaling.kind, 0
    sums = {"common": 0.0, "own": 0.0, "ensemble": 0.0}
    owns = [own_model(home, plan) for home in given]
    for home, own in zip(given, owns, strict=True):
        x, y = home.x[home.held], home.y[home.held]
        assert own is not None
        common = next(r for r in outcome.results if r is not None).chosen.common
        means = {"common": common.predict(x), "own": own.predict(x)}
        total += y.size
        for name, mean in means.items():
            if kind.name == "linear":
                sums[name] += float(((mean - y) ** 2).sum())
            else:
                sums[name] -= float((y * np.log(mean) + (1 - y) * np.log(1 - mean)).sum())
        if plan.method != "boosting":
            etas = [_eta(kind.name, o.predict(x)) for o in owns if o is not None]
            eta = np.mean(etas, axis=0)
            mean = eta if kind.name == "linear" else 1 / (1 + np.exp(-eta))
            wrong = (
                (mean - y) ** 2
                if kind.name == "linear"
                else -(y * np.log(mean) + (1 - y) * np.log(1 - mean))
            )
            sums["ensemble"] += float(wrong.sum())
    out = {name: value / total for name, value in sums.items()}
    return {n: float(np.sqrt(v)) for n, v in out.items()} if kind.name == "linear" else out


def _eta(kind: str, mean: Any) -> Any:
    return mean if kind == "linear" else np.log(mean / (1 - mean))


@pytest.mark.parametrize("model", ["logistic", "linear"])
@pytest.mark.parametrize("method", list(PLANS))
def test_the_sums_tell_what_all_rows_would(model: str, method: str) -> None:
    given = homes(model, 300)
    plan = Plan(PARTIES, model=model, **PLANS[method])
    outcome = rehearse(given, plan)
    told, wanted = outcome.standing, by_hand(given, outcome, plan)
    assert told is not None
    assert told.metric == {"logistic": "log_loss", "linear": "rmse"}[model]
    assert told.rows == sum(h.held.sum() for h in given)
    assert told.common == pytest.approx(wanted["common"], rel=1e-5)
    assert told.own == pytest.approx(wanted["own"], rel=1e-5)
    if method == "boosting":
        assert told.ensemble is None
    else:
        assert told.ensemble == pytest.approx(wanted["ensemble"], rel=1e-4)
    assert all(r is not None and r.standing == told for r in outcome.results)


def test_a_party_without_a_model_of_its_own_has_no_rows_in_it() -> None:
    given = homes("logistic", 300)
    given[2] = replace(given[2], y=np.zeros_like(given[2].y))
    outcome = rehearse(given, Plan(PARTIES))
    assert outcome.standing is not None
    mine = set(outcome.rivals.alone)
    there = sum(int(h.held.sum()) for h in given if h.party in mine)
    assert outcome.standing.rows == there


def test_nothing_is_told_without_held_out_rows() -> None:
    given = [replace(h, held=np.zeros_like(h.held)) for h in homes("logistic", 200)]
    assert rehearse(given, Plan(PARTIES)).standing is None


# --- the report ------------------------------------------------------------------------------------


def prepared(given: list[Home], held: float = 0.3) -> list[Prepared]:
    found = []
    for home in given:
        lots = np.where(home.held, held / 2, (1 + held) / 2)
        ids = np.arange(home.y.size, dtype=np.uint64)
        found.append(Prepared(Table(home.party, ids, lots, Columns(home.columns, home.x), home.y)))
    return found


@pytest.mark.parametrize("model", ["logistic", "boosting", "multinomial"])
def test_every_report_has_each_party_alone_and_the_ensemble(model: str) -> None:
    given = homes("multinomial" if model == "multinomial" else "logistic", 240)
    report = horizontal(prepared(given), Asked(model, trees=3, depth=2), [])
    main = report.decisive
    assert set(report.alone) == set(PARTIES)
    assert all(np.isfinite(own[main]) for own in report.alone.values())  # type: ignore[arg-type]
    assert np.isfinite(report.ensemble[main])  # type: ignore[arg-type]
    assert set(report.spreads) == {*PARTIES, ENSEMBLE}
    assert len(report.verdicts()) == len(PARTIES) + 1
    assert report.extra["standing"]["rows"] > 0


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_joint_model_that_own_models_beat_says_so(model: str) -> None:
    """Every party's label follows a law of its own: one common model cannot be right for all."""
    given = homes("logistic", 1500)
    signs = (1.0, -1.0, 1.0)
    given = [
        replace(h, y=(s * h.x[:, 0] + 0.3 * np.sin(9 * h.x[:, 1]) > 0).astype(float))
        for h, s in zip(given, signs, strict=True)
    ]
    report = horizontal(prepared(given), Asked(model, trees=5, depth=2), [])
    told = report.extra["standing"]
    assert told["own_models"] < told["common"]
    assert told["beats_own_and_ensemble"] is False
    assert report.worth_it is False
    assert any("does not beat" in line for line in report.verdicts())
