"""Horizontal learning: as good as over pooled rows, never worse than one's own model, through drop-outs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds_horizontal import PARTIES, homes, labelled

from hanse.errors import Fault, Refusal
from hanse.learn.horizontal import (
    Alone,
    Averaging,
    Boosting,
    Home,
    Patience,
    Plan,
    rehearse,
    rehearse_files,
)
from hanse.learn.horizontal.estimators import EstimatorModel
from hanse.learn.horizontal.home import Rows, scaled
from hanse.learn.horizontal.kinds import kind_of
from hanse.learn.horizontal.models import LinearModel, derivatives
from hanse.learn.horizontal.networks import Network, TorchModel
from hanse.learn.horizontal.own import choose
from hanse.learn.horizontal.quantiles import KEYS, edges_of
from hanse.learn.horizontal.roles import own_model, trained
from hanse.learn.horizontal.servers import Server
from hanse.learn.horizontal.stored import chosen_document, chosen_of
from hanse.learn.horizontal.trees import Trees

QUICK = Patience(deadline=0.5, grace=0.05)


# --- exact Newton steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["logistic", "linear", "poisson", "gamma", "tweedie"])
def test_newton_steps_on_sums_give_the_pooled_coefficients(model: str) -> None:
    given = homes(model, 600)
    outcome = rehearse(given, Plan(PARTIES, model=model))
    pooled, _, settled = trained(
        Alone("all"), _together(given), Plan(("all", "x", "y"), model=model)
    )
    assert settled
    assert outcome.settled
    together = outcome.results[0].chosen.common.model.beta  # type: ignore[union-attr]
    assert np.abs(together - pooled.model.beta).max() < 1e-5
    assert all(abs(outcome.metrics[m] - outcome.plaintext[m]) < 1e-5 for m in outcome.metrics)


def _together(given: list[Home]) -> Home:
    x, y, held = (np.concatenate([getattr(h, name) for h in given]) for name in ("x", "y", "held"))
    return Home("all", given[0].columns, x, y, held)


def test_perfect_separation_ends_with_a_sound_model() -> None:
    given = homes("logistic", 200)
    given = [replace(h, y=(h.x[:, 0] > 0).astype(float)) for h in given]
    outcome = rehearse(given, Plan(PARTIES))
    assert outcome.metrics["auc"] > 0.999
    assert np.isfinite(outcome.results[0].chosen.common.model.beta).all()  # type: ignore[union-attr]


def test_a_party_of_one_class_takes_part_and_gets_the_common_model() -> None:
    given = homes("logistic", 300)
    given[2] = replace(given[2], y=np.zeros_like(given[2].y))
    outcome = rehearse(given, Plan(PARTIES))
    assert outcome.contributors[0] == PARTIES
    assert outcome.results[2] is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: replace(h, y=h.y + 0.5), "other values than 0 and 1"),
        (lambda h: replace(h, x=np.where(h.x > 2, np.inf, h.x)), "infinite"),
        (lambda h: replace(h, held=np.ones_like(h.held)), "no rows"),
        (lambda h: replace(h, columns=("a", "b", "c", "other")), "columns differ"),
    ],
)
def test_bad_input_is_named(change: Any, said: str) -> None:
    given = homes("logistic", 120)
    given[1] = change(given[1])
    with pytest.raises(Refusal, match=said):
        rehearse(given, Plan(PARTIES))


def test_missing_and_constant_columns() -> None:
    given = homes("logistic", 400)
    for home in given:
        home.x[::7, 1] = np.nan
        home.x[:, 2] = 5.0
    given[0].x[:, 3] = np.nan
    outcome = rehearse(given, Plan(PARTIES))
    assert abs(outcome.metrics["auc"] - outcome.plaintext["auc"]) < 1e-5
    assert outcome.results[0].chosen.common.scaling.spread[2] == 0  # type: ignore[union-attr]


def test_columns_of_any_size_and_place_are_brought_to_one_scale() -> None:
    given = homes("logistic", 500)
    size, place = np.array([1e-9, 1.0, 1e12, 0.5]), np.array([0.0, 2000.0, 0.0, 1e3])
    for home in given:
        home.x[:] = home.x * size + place
    pooled = _together(given)
    found = scaled(Alone("all"), pooled, kind_of("logistic"), "x")
    learned = pooled.x[~pooled.held]
    assert np.allclose(found.mean, learned.mean(axis=0), rtol=1e-5, atol=1e-15)
    assert np.allclose(found.spread, learned.std(axis=0), rtol=2e-3)
    outcome = rehearse(given, Plan(PARTIES))
    assert np.allclose(outcome.results[1].chosen.common.scaling.spread, found.spread, rtol=1e-3)  # type: ignore[union-attr]
    assert abs(outcome.metrics["auc"] - outcome.plaintext["auc"]) < 1e-4


# --- averaging -------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["fedavg", "fedavgm", "fedadam", "fedyogi"])
def test_averaging_reaches_the_pooled_model(server: str) -> None:
    how = Averaging(rounds=15, server=server, clip=2.0)  # type: ignore[arg-type]
    outcome = rehearse(homes("logistic", 900), Plan(PARTIES, method="average", averaging=how))
    assert outcome.metrics["auc"] > outcome.plaintext["auc"] - 0.005


def test_a_proximal_term_keeps_local_models_near() -> None:
    home = homes("logistic", 400)[0]
    rows = Rows(home.x, home.y)
    far, near = (LinearModel(kind_of("logistic"), 4) for _ in range(2))
    far.train(rows)
    near.train(rows, proximal=10.0)
    assert np.linalg.norm(near.beta) < 0.2 * np.linalg.norm(far.beta)


@pytest.mark.parametrize("model", ["logistic", "linear", "multinomial"])
def test_a_network_is_averaged(model: str) -> None:
    plan = Plan(PARTIES, model=model, method="average", learner="network", hidden=(8,),
                averaging=Averaging(rounds=12))  # fmt: skip
    outcome = rehearse(homes(model, 900), plan)
    main = {"logistic": "auc", "linear": "r2", "multinomial": "auc"}[model]
    assert outcome.metrics[main] > {"logistic": 0.7, "linear": 0.5, "multinomial": 0.7}[model]


def test_a_networks_gradient_is_the_losss() -> None:
    home = homes("multinomial", 90)[0]
    network = Network(kind_of("multinomial"), 4, hidden=(5, 4), seed=3)
    vector = network.parameters()
    slope = network._gradient(home.x, home.y)

    def loss(at: np.ndarray[Any, Any]) -> float:
        network.load(at)
        return float(network.kind.losses(network.predictor(home.x), home.y).mean())

    for place in range(0, vector.size, 7):
        step = np.zeros_like(vector)
        step[place] = 1e-6
        assert abs((loss(vector + step) - loss(vector - step)) / 2e-6 - slope[place]) < 1e-6


@pytest.mark.filterwarnings("ignore:.*failed to converge")
@pytest.mark.parametrize("name", ["SGDClassifier", "LogisticRegression", "Ridge", "SGDRegressor"])
def test_scikit_learns_linear_models_are_averaged(name: str) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    options = {
        "SGDClassifier": {"loss": "log_loss", "learning_rate": "constant", "eta0": 0.01},
        "LogisticRegression": {"max_iter": 5}, "Ridge": {}, "SGDRegressor": {},
    }  # fmt: skip
    model = "linear" if name in ("Ridge", "SGDRegressor") else "logistic"

    def make(kind: Any, columns: int) -> EstimatorModel:
        return EstimatorModel(
            kind, columns, getattr(linear_model, name)(**options[name], random_state=1)
        )

    plan = Plan(PARTIES, model=model, method="average", learner=name, averaging=Averaging(rounds=6))
    given = homes(model, 900)
    outcome = rehearse(given, plan, make=make)
    exact = rehearse(given, Plan(PARTIES, model=model))
    main = "r2" if model == "linear" else "auc"
    assert outcome.metrics[main] > exact.metrics[main] - 0.01


def test_pytorch_modules_are_averaged() -> None:
    torch = pytest.importorskip("torch")

    def make(kind: Any, columns: int) -> TorchModel:
        torch.manual_seed(1)
        return TorchModel(kind, torch.nn.Sequential(torch.nn.Linear(columns, 1)), rate=0.05)

    plan = Plan(PARTIES, method="average", learner="torch", averaging=Averaging(rounds=8))
    assert rehearse(homes("logistic", 600), plan, make=make).metrics["auc"] > 0.7


def test_without_pytorch_the_remedy_is_told() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(Refusal, match="not installed"):
            TorchModel(kind_of("logistic"), None)
    else:
        pytest.skip("PyTorch is installed")


def test_averaging_starts_from_the_models_that_parties_have() -> None:
    given = homes("logistic", 900)
    beta = own_model(given[0], Plan(PARTIES)).model.beta  # type: ignore[union-attr]
    scale = own_model(given[0], Plan(PARTIES)).scaling  # type: ignore[union-attr]
    with_models = [replace(h, existing=scale.to_raw(beta)) for h in given]
    how = Averaging(
        rounds=1, clip=1e-6
    )  # one round of next to no movement: what is left is the start
    outcome = rehearse(with_models, Plan(PARTIES, method="average", averaging=how))
    first = outcome.results[0]
    assert first is not None
    assert first.progress.started_from == "the average of own models"
    common = first.chosen.common
    assert np.allclose(common.scaling.to_raw(common.model.beta), scale.to_raw(beta), atol=1e-4)


def test_one_partys_model_is_never_averaged_alone() -> None:
    given = homes("multinomial", 300)
    plan = Plan(PARTIES, model="multinomial", method="average", learner="network", hidden=(),
                averaging=Averaging(rounds=2))  # fmt: skip
    size = 3 * 4 + 3
    one = [
        replace(h, existing=np.ones(size) if n == 0 else np.ones(3)) for n, h in enumerate(given)
    ]
    outcome = rehearse(one, plan)
    assert outcome.results[0].progress.started_from == "fresh"  # type: ignore[union-attr]
    assert not [o for o in outcome.openings if "'start'" in o["what"]]


def test_updates_are_clipped_at_home_and_counted_there() -> None:
    how = Averaging(rounds=2, clip=0.01)
    plan = Plan(PARTIES, method="average", averaging=how, from_own=False)
    outcome = rehearse(homes("logistic", 300), plan)
    assert outcome.results[0].progress.clipped == 2  # type: ignore[union-attr]
    assert np.linalg.norm(outcome.results[0].chosen.common.model.beta) <= 0.02 + 1e-9  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fedadam", "fedyogi"])
def test_server_optimisers_move_along_a_constant_update(name: str) -> None:
    server = Server(name)  # type: ignore[arg-type]
    at = np.zeros(2)
    for _ in range(5):
        at = server.step(at, np.array([0.1, -0.1]))
    assert at[0] > 0
    assert at[1] == -at[0]


# --- never worse than one's own ---------------------------------------------------------------------------


def test_no_party_ends_with_a_model_worse_than_its_own() -> None:
    given = homes("logistic", 600)
    given[2] = replace(given[2], y=1 - given[2].y)  # this party's world is upside down
    outcome = rehearse(given, Plan(PARTIES))
    for result in outcome.results:
        assert result is not None
        assert result.chosen.loss <= result.chosen.own_loss
    assert outcome.results[2].chosen.what == "own"  # type: ignore[union-attr]
    assert sum(outcome.tally.values()) == 3
    assert outcome.tally["own"] >= 1


def test_a_tie_keeps_the_own_model() -> None:
    home = homes("logistic", 300)[0]
    own = own_model(home, Plan(PARTIES))
    assert own is not None
    assert choose(home, own, own).what == "own"


# --- boosting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["logistic", "linear", "poisson"])
def test_boosting_on_summed_histograms_grows_the_pooled_trees(model: str) -> None:
    given = homes(model, 900)
    how = Boosting(trees=8, depth=3)
    outcome = rehearse(given, Plan(PARTIES, model=model, method="boosting", boosting=how))
    pooled, _, _ = trained(
        Alone("all"),
        _together(given),
        Plan(("all", "x", "y"), model=model, method="boosting", boosting=how),
    )
    trees: Trees = outcome.results[0].chosen.common.model  # type: ignore[union-attr]
    assert [t.column.tolist() for t in trees.trees] == [
        t.column.tolist() for t in pooled.model.trees
    ]
    x = _together(given).x
    assert np.allclose(
        outcome.results[1].chosen.common.predict(x), pooled.predict(x), rtol=1e-3, atol=1e-3
    )  # type: ignore[union-attr]
    for tree in trees.trees:
        assert len(tree.column) <= 15


def test_no_leaf_has_fewer_rows_than_asked_for() -> None:
    given = homes("logistic", 300)
    how = Boosting(trees=3, depth=4, minimum_rows=40)
    outcome = rehearse(given, Plan(PARTIES, method="boosting", boosting=how))
    common = outcome.results[0].chosen.common  # type: ignore[union-attr]
    every = _together(given)
    codes = common.model.codes(common.scaling.features(every.x[~every.held]))
    for tree in common.model.trees:
        if tree.column[0] >= 0:
            assert np.bincount(tree.leaves(codes))[np.unique(tree.leaves(codes))].min() >= 40


def test_boosting_goes_on_when_a_party_drops_out_in_the_middle_of_a_tree() -> None:
    given = homes("logistic", 800, parties=4)
    plan = Plan(
        tuple(h.party for h in given), method="boosting", boosting=Boosting(trees=6, depth=3)
    )
    outcome = rehearse(given, plan, missing={given[3].party: 10}, patience=QUICK)
    assert outcome.results[3] is None
    assert len(outcome.contributors[-1]) == 3
    assert outcome.metrics["auc"] > outcome.plaintext["auc"] - 0.03


def test_bins_are_quantiles_of_the_pooled_values() -> None:
    random = np.random.default_rng(5)
    x = np.column_stack(
        [random.normal(size=5000), random.exponential(size=5000), random.integers(0, 3, 5000)]
    )
    x[::50, 0] = np.nan
    edges = edges_of(Alone("all"), x, 16, 5000)
    for column in (0, 1):
        values = x[~np.isnan(x[:, column]), column]
        counts = np.bincount(np.searchsorted(edges[column], values), minlength=16)
        assert np.abs(counts - values.size / 16).max() < 0.012 * values.size
    assert len(np.unique(np.searchsorted(edges[2], [0.0, 1.0, 2.0]))) == 3
    assert KEYS % 2 == 1


# --- stored ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "learner", "model"),
    [
        ("newton", "glm", "poisson"),
        ("average", "network", "multinomial"),
        ("boosting", "glm", "linear"),
    ],
)
def test_a_stored_model_predicts_the_same(method: str, learner: str, model: str) -> None:
    given = homes(model, 400)
    plan = Plan(PARTIES, model=model, method=method, learner=learner, averaging=Averaging(rounds=1),  # type: ignore[arg-type]
                boosting=Boosting(trees=3))  # fmt: skip
    chosen = rehearse(given, plan).results[0].chosen  # type: ignore[union-attr]
    document = json.loads(json.dumps(chosen_document(chosen), allow_nan=False))
    assert np.array_equal(chosen_of(document).predict(given[1].x), chosen.predict(given[1].x))
    for broken in (
        {},
        document | {"own": {}},
        document | {"common": document["common"] | {"format": 9}},
    ):
        with pytest.raises(Fault, match="stored"):
            chosen_of(broken)


# --- drop-outs, too few, noise --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["newton", "average"])
@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_party_that_drops_out_is_tolerated(method: str, after: int) -> None:
    given = homes("logistic", 900, parties=4)
    plan = Plan(tuple(h.party for h in given), method=method, averaging=Averaging(rounds=6))  # type: ignore[arg-type]
    outcome = rehearse(given, plan, missing={given[3].party: after}, patience=QUICK)
    assert outcome.results[3] is None
    assert outcome.contributors[-1] == plan.parties[:3]
    assert outcome.metrics["auc"] > outcome.plaintext["auc"] - 0.01
    assert any("dropped out" in note for note in outcome.notes)


def test_a_party_that_is_left_alone_gets_no_model() -> None:
    given = homes("logistic", 200)
    with pytest.raises(Refusal, match="took part"):
        rehearse(given, Plan(PARTIES), missing={PARTIES[1]: 1, PARTIES[2]: 1}, patience=QUICK)


def test_two_parties_are_refused() -> None:
    given = homes("logistic", 200)[:2]
    with pytest.raises(Refusal, match="cannot make up"):
        rehearse(given, Plan(PARTIES[:2]))


def test_noise_is_accounted_for_and_bounds_what_is_learned() -> None:
    given = homes("logistic", 600)
    how = Averaging(rounds=3, weighted=False, clip=1.0)
    plan = Plan(PARTIES, method="average", averaging=how, noise=2.0)
    outcome = rehearse(given, plan)
    assert outcome.privacy == plan.policy.price(3)
    assert outcome.tally == {}
    assert all("with noise" in o["what"] for o in outcome.openings if o["to"] != ["seats"])
    quiet = rehearse(given, replace(plan, noise=0.0))
    assert quiet.privacy == (0.0, 0.0)


@pytest.mark.parametrize("method", ["newton", "boosting", "average"])
def test_noise_where_it_is_not_offered_is_refused(method: str) -> None:
    with pytest.raises(Refusal, match="noise is offered"):
        Plan(PARTIES, method=method, noise=1.0).check()  # type: ignore[arg-type]


class _Diverging(LinearModel):
    """A local model that is no number after training on so many rows."""

    rows = 0

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        super().train(rows, proximal=proximal)
        if rows.count == self.rows:
            self.beta = self.beta * np.nan


def test_a_diverged_local_model_sits_the_rounds_out() -> None:
    given = homes("logistic", 400, parties=4)
    _Diverging.rows = int((~given[1].held).sum())
    plan = Plan(
        tuple(h.party for h in given),
        method="average",
        averaging=Averaging(rounds=2),
        from_own=False,
    )
    outcome = rehearse(given, plan, make=_Diverging)
    assert outcome.contributors == [("anna", "clara", "dora")] * 2
    assert outcome.results[1].chosen.what != "own"  # type: ignore[union-attr]
    with pytest.raises(
        Refusal, match="took part"
    ):  # of three parties, one that cannot leaves too few
        rehearse(given[:3], replace(plan, parties=PARTIES), make=_Diverging)


# --- files, real data -------------------------------------------------------------------------------------


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    paths = []
    for number, home in enumerate(homes("logistic", 120)):
        frame = pd.DataFrame(home.x, columns=list(home.columns)).assign(
            y=home.y, id=range(home.y.size)
        )
        if number == 2:
            frame = frame.rename(columns={"a": "z"})
        paths.append(tmp_path / f"{home.party}.parquet")
        frame.to_parquet(paths[-1])
    with pytest.raises(Refusal, match="not at all parties: a, z"):
        rehearse_files(paths, "y")
    assert rehearse_files([*paths[:2], paths[0]], "y").body()["auc"] > 0.5


DATA = {"default_credit": ("guest", "host_1", "host_2"), "breast": ("guest", "host")}
POOLED = {"default_credit": 0.7297, "breast": 0.9873}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("method", ["newton", "boosting"])
def test_real_data_within_half_a_point_of_pooled(name: str, method: str, hanse_data: Path) -> None:
    given = [
        labelled(hanse_data / "vfl" / f"{name}_homo_{part}.parquet", part) for part in DATA[name]
    ]
    if len(given) == 2:  # a sum takes three parties: the second one's rows are parted
        half = np.arange(given[1].y.size) % 2 == 0
        given = [given[0], *(replace(given[1], party=f"host {i}", x=given[1].x[h], y=given[1].y[h],
                                     held=given[1].held[h]) for i, h in enumerate((half, ~half)))]  # fmt: skip
    test = labelled(hanse_data / "vfl" / f"{name}_homo_test.parquet", "test")
    plan = Plan(tuple(h.party for h in given), method=method, l2=1e-3 if name == "breast" else 1e-6,  # type: ignore[arg-type]
                boosting=Boosting(trees=20, depth=3))  # fmt: skip
    outcome = rehearse(given, plan)
    pooled, _, _ = trained(Alone("all"), _together(given), plan)
    found, plain = (
        _auc(m.predict(test.x), test.y) for m in (outcome.results[0].chosen.common, pooled)
    )  # type: ignore[union-attr]
    assert abs(found - plain) <= 0.005
    if method == "newton":
        assert found >= POOLED[name] - 0.005


def _auc(score: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    from hanse.learn.evaluation.plain import auc

    return auc(score, y)


def test_what_cannot_be_numbers_is_a_fault() -> None:
    with pytest.raises(Fault, match="not numeric"):
        Alone("x").sum("a", np.array(["b"]), norm=1.0)


def test_sums_of_derivatives_are_those_of_pooled_rows() -> None:
    given, kind = homes("poisson", 90), kind_of("poisson")
    beta = np.linspace(-0.2, 0.3, 5)
    parts = [derivatives(kind, beta, Rows(h.x, h.y)) for h in given]
    every = _together(given)
    whole = derivatives(kind, beta, Rows(every.x, every.y))
    assert np.allclose(sum(p[1] for p in parts), whole[1])
    assert np.allclose(sum(p[0] for p in parts), whole[0])
