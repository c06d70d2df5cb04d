"""The report says what a joint model was worth, in words that follow from the figures."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hanse.learn.evaluation.picture import calibration_points, gain_points
from hanse.learn.evaluation.plain import bands, calibration_error, judged
from hanse.learn.evaluation.report import Curve, Report
from hanse.learn.evaluation.rivals import ENSEMBLE, of_columns, of_rows, spread_of


def report(**more: Any) -> Report:
    base: dict[str, Any] = {
        "model": "logistic", "arrangement": "vertical", "parties": ("guest", "host"),
        "joint": {"auc": 0.80, "auc_error": 0.001, "rows": 1000.0}, "centralised": {"auc": 0.801},
        "alone": {"guest": {"auc": 0.70}, "host": {"auc": 0.65}}, "ensemble": {"auc": 0.75},
        "rows_tested": (400.0, 600.0),
    }  # fmt: skip
    return Report(**(base | more))


def test_a_model_that_beats_all_says_so() -> None:
    made = report()
    assert made.worth_it is True
    assert made.verdicts() == [
        "the joint model beats guest alone: auc 0.8 against 0.7",
        "the joint model beats host alone: auc 0.8 against 0.65",
        "the joint model beats the ensemble of each party's own model: auc 0.8 against 0.75",
    ]


@pytest.mark.parametrize(
    ("ensemble", "said"), [(0.799, "within what chance moves"), (0.9, "it is worse")]
)
def test_a_model_that_does_not_beat_an_ensemble_says_so(ensemble: float, said: str) -> None:
    made = report(ensemble={"auc": ensemble})
    assert made.worth_it is False
    assert made.verdicts()[-1].startswith("the joint model does not beat the ensemble")
    assert said in made.verdicts()[-1]


def test_lower_is_better_where_it_is() -> None:
    made = report(model="linear", joint={"rmse": 2.0}, alone={"guest": {"rmse": 1.0}}, ensemble={"rmse": 3.0},
                  rows_tested=(10_000.0, 0.0))  # fmt: skip
    assert made.decisive == "rmse"
    assert [made.against(m)[0] for m in ({"rmse": 1.0}, {"rmse": 3.0})] == ["worse", "better"]


def test_a_known_spread_decides_what_is_chance() -> None:
    near = {"guest": {"auc": 0.79}}
    assert report(alone=near).against(near["guest"])[0] == "equal"
    sure = report(alone=near, spreads={"guest": 0.001})
    assert "beats guest alone" in sure.verdicts()[0]
    unsure = report(alone={"guest": {"auc": 0.70}}, spreads={"guest": 0.2})
    assert "does not beat guest alone" in unsure.verdicts()[0]


def test_what_is_not_known_is_not_claimed() -> None:
    made = report(joint={"auc": None}, ensemble={})
    assert made.verdicts() == []
    assert made.worth_it is None
    assert made.body()["auc"] is None
    assert "none" in str(made.tables()[0])


def test_the_body_is_plain_json() -> None:
    made = report(alone={"guest": {"auc": float("nan")}}, weights={"guest": {"a": 0.5}})
    body = json.loads(json.dumps(made.body(), allow_nan=False))
    assert (body["plaintext_auc"], body["ensemble_auc"], body["alone_auc"]) == (0.801, 0.75, None)
    assert body["coefficients"] == {"guest": {"a": 0.5}}


def test_tables_put_the_deciding_metric_first() -> None:
    made = report(
        joint={"ks": 0.3, "auc": 0.8, "auc_error": 0.001},
        weights={"host": {f"c{n}": n for n in range(20)}},
    )
    metrics, weights = made.tables()
    assert [row[0] for row in metrics.rows] == ["auc", "ks"]
    assert metrics.rows[0][1] == "0.8 ± 0.001"
    assert weights.rows[0][0] == "c19"
    assert weights.rows[-1][0] == "and 8 more"


# --- pictures ---------------------------------------------------------------------------------------


def test_pictures_are_sound_svg() -> None:
    curve = Curve((100.0, 100.0, None, 100.0), (60.0, 30.0, None, 10.0), (55.0, 33.0, None, 12.0))
    drawn = report(curve=curve, parties=("a<b", "host")).svg()
    assert len(ElementTree.fromstring(drawn).findall(".//{*}circle")) == 3  # noqa: S314 - our own text
    assert gain_points(curve) == [(0, 0), (1 / 3, 0.6), (2 / 3, 0.9), (1, 1)]
    assert calibration_points(curve)[0] == (0.55, 0.6)
    bars = report().svg()
    assert len(ElementTree.fromstring(bars).findall(".//{*}rect")) == 5  # noqa: S314
    assert gain_points(Curve((None,), (None,))) == [(0.0, 0.0)]


# --- rivals -----------------------------------------------------------------------------------------


def mean_learner(x: Any, y: Any, judging: Any) -> Any:
    """Least squares."""
    made = np.column_stack([np.ones(len(x)), x])
    return (
        np.column_stack([np.ones(len(judging)), judging]) @ np.linalg.lstsq(made, y, rcond=None)[0]
    )


def test_rivals_of_columns() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(2000, 4))
    y = x.sum(axis=1) + random.normal(size=2000)
    test = np.arange(2000) % 3 == 0
    blocks = {"guest": x[:, :1], "host": x[:, 1:], "empty": x[:, :0]}
    found = of_columns(
        blocks, y, ~test, test, mean_learner, lambda m, t: judged("linear", m, t), "rmse"
    )
    assert found.centralised["rmse"] == pytest.approx(1.0, abs=0.1)
    assert found.alone["guest"]["rmse"] == pytest.approx(2.0, abs=0.15)
    assert found.alone["empty"]["rmse"] == pytest.approx(y[test].std(), rel=0.01)
    # The mean of the three: a third of each party's part of the sum.
    assert found.centralised["rmse"] < found.ensemble["rmse"] < found.alone["empty"]["rmse"]
    assert set(found.spreads) == {"guest", "host", "empty", ENSEMBLE}
    assert 0 < found.spreads["guest"] < 0.2


def test_rivals_of_rows() -> None:
    random = np.random.default_rng(2)
    parts = {}
    for name, rows in (("big", 1000), ("small", 8)):
        x = random.normal(size=(rows, 4))
        parts[name] = (x, x.sum(axis=1) + random.normal(size=rows))
    x = random.normal(size=(500, 4))
    tests = [(x, x.sum(axis=1) + random.normal(size=500))]
    found = of_rows(parts, tests, mean_learner, lambda m, t: judged("linear", m, t), "rmse")
    assert found.centralised["rmse"] <= found.alone["small"]["rmse"]
    assert found.alone["big"]["rmse"] < found.alone["small"]["rmse"]


def test_the_spread_of_a_lead_is_paired() -> None:
    """Two models that err alike differ by little, however much each one's metric moves with the rows."""
    random = np.random.default_rng(3)
    y = random.normal(size=1000)
    mean = y + random.normal(size=1000)

    def judge(m: Any, t: Any) -> dict[str, float]:
        return judged("linear", m, t)

    assert spread_of(mean, mean, y, judge, "rmse") == 0
    assert spread_of(mean, mean + 0.01 * random.normal(size=1000), y, judge, "rmse") < 1e-3
    other = y + random.normal(size=1000)
    assert 0.01 < spread_of(mean, other, y, judge, "rmse") < 0.1


def test_bands_of_a_score() -> None:
    score = np.repeat([0.1, 0.9], 50)
    rows, labels, predicted = bands(score, score > 0.5, score, 4)
    assert rows == [0, 50, 0, 50], "rows of one score stay together"
    assert labels == [0, 50, 0, 0]
    assert predicted == pytest.approx([0, 45, 0, 5])
    assert calibration_error(score, (score > 0.5).astype(float)) == pytest.approx(0.1)
