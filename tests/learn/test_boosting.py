"""Vertical boosting on encrypted histograms: as good as its plain twin, and loud where it must not go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boosted import auc, world
from pyarrow import parquet

from hanse.engine.lattice import Public, encrypt
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.gate.histograms import open_histogram
from hanse.gate.record import Record
from hanse.learn.boosting import Model, Rows, Settings, fit
from hanse.learn.boosting.bins import BUILT_EMPTY, ENDS, SIBLING_EMPTY, bin_columns, grouped
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.plain import plain_boosting
from hanse.wire import Frame


def seeded(role: int) -> SeededEntropy:
    return SeededEntropy(f"boosting|{role}")


# --- as good as in one place --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
@pytest.mark.parametrize("hosts", [1, 2])
def test_the_joint_model_is_the_plain_twin(loss: str, hosts: int) -> None:
    """Where no group of the best splits' columns is small, the first trees are the same, leaf by leaf.

    A Poisson truth puts few rows into its last leaves: there groups of 20 rows do bind.
    """
    settings = Settings(loss=loss, trees=1, depth=3, bins=16, learning_rate=0.3)
    here = world(20_000, 5, hosts=hosts, missing=0.2)
    y = here.y[loss]
    joint = fit(here.guest, y, here.hosts, settings, entropy=seeded).predict(here.guest, here.hosts)
    twin = plain_boosting(here.all_columns, y, settings).predict(here.all_columns)
    assert np.isclose(joint, twin, rtol=1e-9).mean() >= (0.98 if loss == "poisson" else 1.0)
    more = replace(settings, trees=5)
    joint = fit(here.guest, y, here.hosts, more, entropy=seeded).predict(here.guest, here.hosts)
    twin = plain_boosting(here.all_columns, y, more).predict(here.all_columns)
    alone = fit(here.guest, y, [], more).predict(here.guest)
    error, plain, single = (float(np.mean((y - p) ** 2) / y.var()) for p in (joint, twin, alone))
    assert abs(error - plain) < 0.002 * (2 if loss == "poisson" else 1)
    assert error < single - 0.004


@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
def test_small_groups_cost_next_to_nothing(loss: str) -> None:
    """With 5 % missing, missing values must often join a bin; the fit stays within 0.002."""
    settings = Settings(loss=loss, trees=5, depth=3, bins=16, learning_rate=0.3)
    here = world(6_000, 5)
    y = here.y[loss]
    joint = fit(here.guest, y, here.hosts, settings, entropy=seeded).predict(here.guest, here.hosts)
    twin = plain_boosting(here.all_columns, y, settings).predict(here.all_columns)
    error, plain = (float(np.mean((y - p) ** 2) / y.var()) for p in (joint, twin))
    assert abs(error - plain) < 0.002 * (2 if loss == "poisson" else 1)
    if loss == "logistic":
        assert abs(auc(y, joint) - auc(y, twin)) < 0.002


def test_deep_trees_over_few_rows() -> None:
    """Most bins of most nodes have fewer than 20 rows and are merged: worse than the twin on new rows, but
    little."""
    settings = Settings(trees=10, depth=5, bins=32, learning_rate=0.2)
    here, there = world(3_000, 6), world(20_000, 7)
    y = here.y["logistic"]
    model = fit(here.guest, y, here.hosts, settings, entropy=seeded)
    twin = plain_boosting(here.all_columns, y, settings)
    unseen = there.y["logistic"]
    joint = auc(unseen, model.predict(there.guest, there.hosts))
    assert joint > auc(unseen, twin.predict(there.all_columns)) - 0.01
    assert joint > 0.72


def credit(folder: Path, rows: int) -> tuple[Rows, Rows, np.ndarray]:
    parties = []
    for name in ("guest", "host"):
        table = parquet.read_table(
            folder / "vfl" / f"default_credit_hetero_{name}.parquet"
        ).to_pydict()
        order = np.argsort(np.array(table.pop("id")))[:rows]
        parties.append({k: np.array(v, np.float64)[order] for k, v in table.items()})
    y = parties[0].pop("y")
    guest, host = (
        Rows(n, range(y.size), c, False) for n, c in zip(("guest", "host"), parties, strict=True)
    )
    return guest, host, y


def both(guest: Rows, host: Rows) -> dict[str, np.ndarray]:
    return {f"{r.party}.{n}": v for r in (guest, host) for n, v in r.columns.items()}


def test_credit_is_scored_as_in_one_place(hanse_data: Path) -> None:
    guest, host, y = credit(hanse_data, 8_000)
    settings = Settings(trees=8, depth=3, learning_rate=0.3)
    model = fit(guest, y, [host], settings, entropy=seeded)
    twin = plain_boosting(both(guest, host), y, settings).predict(both(guest, host))
    joint = auc(y, model.predict(guest, [host]))
    assert abs(joint - auc(y, twin)) < 0.002
    assert joint > auc(y, fit(guest, y, [], settings).predict(guest)) + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "trees", "rate"), [(3, 30, 0.3), (5, 50, 0.1)])
def test_all_of_credit_is_scored_as_in_one_place(
    hanse_data: Path, depth: int, trees: int, rate: float
) -> None:
    guest, host, y = credit(hanse_data, 30_000)
    settings = Settings(trees=trees, depth=depth, learning_rate=rate)
    model = fit(guest, y, [host], settings, entropy=seeded)
    columns = both(guest, host)
    joint = auc(y, model.predict(guest, [host]))
    assert abs(joint - auc(y, plain_boosting(columns, y, settings).predict(columns))) < 0.002
    # XGBoost, 30 trees of depth 3, 32 bins; scikit-learn 1.9's HistGradientBoosting, 50 trees of depth 5, 32 bins
    assert abs(joint - {3: 0.7957, 5: 0.8087}[depth]) < 0.002


@pytest.mark.slow
def test_credit_beside_scikit_learn(hanse_data: Path) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble", reason="scikit-learn is not installed")
    guest, host, y = credit(hanse_data, 30_000)
    settings = Settings(trees=30, depth=3, learning_rate=0.3)
    joint = auc(y, fit(guest, y, [host], settings, entropy=seeded).predict(guest, [host]))
    peer = ensemble.HistGradientBoostingClassifier(
        max_iter=30, max_depth=3, max_leaf_nodes=None, learning_rate=0.3, max_bins=32,
        min_samples_leaf=20, l2_regularization=1.0, early_stopping=False,
    )  # fmt: skip
    matrix = np.stack(list(both(guest, host).values()), axis=1)
    theirs = auc(y, peer.fit(matrix, y).predict_proba(matrix)[:, 1])
    assert abs(joint - theirs) < 0.002


def test_sampling_and_early_stopping() -> None:
    settings = Settings(
        trees=40,
        depth=4,
        bins=16,
        learning_rate=0.5,
        row_share=0.6,
        column_share=0.5,
        holdout=0.25,
        patience=3,
    )
    here, there = world(3_000, 8), world(5_000, 9)
    model = fit(here.guest, here.y["logistic"], here.hosts, settings, entropy=seeded)
    history = model.history
    assert len(history.holdout) < settings.trees
    assert (
        history.kept
        == int(np.argmin(history.holdout)) + 1
        == len(history.holdout) - settings.patience
    )
    assert len(model.label_block.trees) == history.kept
    held = [model.label_block.own, *model.feature_blocks]
    assert [
        len(b.splits) for b in held
    ] == model.label_block.split_counts()  # later trees' splits are gone
    assert all(s.tree < history.kept for b in held for s in b.splits)
    used = {s.column for s in model.feature_blocks[0].splits if s.tree == 0}
    assert len(used) <= 2  # half of four columns
    assert auc(there.y["logistic"], model.predict(there.guest, there.hosts)) > 0.68


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_label_does_not_matter(unit: float) -> None:
    """Sums of 10^12 would wrap, and of 10^-6 drown, if the scale did not follow."""
    settings = Settings(loss="squared", trees=3, depth=3, learning_rate=0.5)
    here = world(2_000, 20)
    y = here.y["squared"]
    usual = fit(here.guest, y, here.hosts, settings, entropy=seeded).predict(here.guest, here.hosts)
    other = fit(here.guest, y * unit, here.hosts, settings, entropy=seeded)
    scaled = other.predict(here.guest, here.hosts) / unit
    error, before = (float(np.mean((y - p) ** 2) / y.var()) for p in (scaled, usual))
    assert abs(error - before) < 0.002


# --- who has what --------------------------------------------------------------------------------------


def small() -> tuple[Model, object]:
    here = world(2_000, 10)
    settings = Settings(trees=2, depth=3, bins=8)
    return fit(here.guest, here.y["logistic"], here.hosts, settings, entropy=seeded), here


def test_thresholds_stay_with_their_owner() -> None:
    model, _ = small()
    block = model.label_block
    theirs = [n for tree in block.trees for n in tree if n.owner == 1]
    assert theirs
    assert [n.number for n in sorted(theirs, key=lambda n: n.number)] == list(range(len(theirs)))
    text = repr(block)
    for split in model.feature_blocks[0].splits:
        assert repr(split.threshold) not in text
        assert split.column in model.feature_blocks[0].columns
    assert all(n.values == () for n in theirs)


def test_only_the_owner_hears_which_column_was_chosen() -> None:
    told: dict[int, list[np.ndarray]] = {1: [], 2: []}

    def tap(frame: Frame) -> Frame:
        if frame.step.endswith(".splits"):
            told[frame.target].append(np.array(frame.body))
        return frame

    here = world(3_000, 11, hosts=2)
    fit(
        here.guest,
        here.y["squared"],
        here.hosts,
        Settings(loss="squared", trees=2),
        entropy=seeded,
        tap=tap,
    )
    for role, decisions in told.items():
        every = np.concatenate(decisions)
        assert not every[every[:, 1] != role, 2:].any()
        assert every[every[:, 1] == role, 2:].any()


def test_every_opening_is_recorded_with_its_size() -> None:
    opened = 0

    def tap(frame: Frame) -> Frame:
        nonlocal opened
        if frame.step.endswith(".sums.body"):
            opened += frame.body.size
        return frame

    here = world(2_000, 12)
    model = fit(
        here.guest, here.y["logistic"], here.hosts, Settings(trees=2), entropy=seeded, tap=tap
    )
    assert sum(o.values for o in model.record.openings) == opened > 0
    assert {o.to for o in model.record.openings} == {("guest",)}
    assert all("host-1" in o.what and "20 rows" in o.what for o in model.record.openings)


# --- groups of at least k rows ----------------------------------------------------------------------


def test_no_group_of_either_sibling_has_few_rows() -> None:
    random = np.random.default_rng(13)
    for trial in range(300):
        size, least = 12, int(random.integers(20, 60))
        parent = random.integers(0, 150, size) * (random.random(size) < 0.7)
        above = np.zeros(size, np.bool_)
        above[random.choice(size, 6, replace=False)] = True
        above[-1] = True
        left = random.binomial(parent, random.random(size))
        if min(left.sum(), (parent - left).sum()) < least:
            continue
        counts = np.stack([left, parent - left])
        state = grouped(counts[:1], counts[1:], above[None], least)[0]
        ends = np.nonzero(state & ENDS)[0]
        assert above[ends].all(), trial
        groups = np.add.reduceat(counts, np.concatenate([[0], ends[:-1] + 1]), axis=1)
        assert groups.sum() == counts.sum(), trial
        assert ((groups == 0) | (groups >= least)).all(), trial
        assert np.array_equal((state[ends] & BUILT_EMPTY) > 0, groups[0] == 0)
        assert np.array_equal((state[ends] & SIBLING_EMPTY) > 0, groups[1] == 0)
        for node, unit in ((0, 8), (1, 32)):
            sides = counts[node].cumsum()
            for p in np.nonzero(state & unit)[0]:
                assert min(sides[p], sides[-1] - sides[p]) >= least, trial


def test_bins_keep_order_and_missing_values_apart() -> None:
    values = np.array([np.nan, *np.random.default_rng(14).standard_normal(5_000), np.nan])
    binned = bin_columns(
        {"x": values, "empty": values * np.nan, "one": values * 0 + 7.0}, 32, 5_002, "p"
    )
    code = binned.codes[0]
    assert (code == 0).sum() == 2
    counts = np.bincount(code, minlength=33)[1:]
    assert counts.min() > 5_000 / 32 - 3
    assert counts.max() < 5_000 / 32 + 3
    for p in range(1, 32):
        left = (code <= p) & (code > 0)
        assert np.array_equal(left, values <= binned.threshold(0, p))
    assert not binned.codes[1].any()
    assert set(binned.codes[2].tolist()) == {0, 1}


# --- what is refused, and what is wrong ---------------------------------------------------------------


@pytest.mark.parametrize("who", ["guest", "host"])
def test_rows_about_people_are_refused(who: str) -> None:
    here = world(200, 15)
    guest = replace(here.guest, personal=who == "guest")
    host = replace(here.hosts[0], personal=who == "host")
    seen: list[str] = []

    def tap(frame: Frame) -> Frame:
        seen.append(frame.step)
        return frame

    with pytest.raises(Refusal, match="about people") as refused:
        fit(guest, here.y["logistic"], [host], tap=tap)
    assert refused.value.code == "learn.personal"
    assert "not people" in refused.value.remedy
    assert all(step.startswith("hello") for step in seen)  # nothing about rows was sent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("order", "learn.alignment"),
        ("fewer", "learn.alignment"),
        ("text", "learn.column"),
        ("infinite", "learn.column"),
        ("short", "learn.column"),
        ("nothing", "learn.columns"),
        ("class", "learn.labels"),
        ("label", "learn.labels"),
        ("missing label", "learn.labels"),
        ("few", "learn.rows"),
        ("none", "learn.rows"),
        ("name", "learn.parties"),
    ],
)
def test_bad_input_is_named(change: str, code: str) -> None:
    rows = {"few": 5, "none": 0}.get(change, 300)
    here = world(max(rows, 1), 16)
    guest, host, y = here.guest, here.hosts[0], here.y["logistic"][:rows]
    x = dict(host.columns)
    if change == "order":
        host = replace(host, keys=list(reversed(range(rows))))
    elif change == "fewer":
        host = replace(host, keys=range(299), columns={k: v[:-1] for k, v in x.items()})
    elif change == "text":
        host = replace(host, columns={**x, "x1": np.array(["a", 1.5] * (rows // 2), object)})
    elif change == "infinite":
        host = replace(host, columns={**x, "x1": np.full(rows, np.inf)})
    elif change == "short":
        host = replace(host, columns={**x, "x1": x["x1"][:-1]})
    elif change == "nothing":
        host = replace(host, columns={})
    elif change == "class":
        y = np.ones(rows)
    elif change == "label":
        y = y + 0.5
    elif change == "missing label":
        y = np.where(np.arange(rows) == 3, np.nan, y)
    elif change == "none":
        guest, host = (replace(r, keys=[], columns={"x": np.zeros(0)}) for r in (guest, host))
    elif change == "name":
        host = replace(host, party="guest")
    with pytest.raises(HanseError) as raised:
        fit(guest, y, [host], Settings(trees=1))
    assert raised.value.code == code
    assert raised.value.remedy


def test_columns_without_anything_in_them_are_no_trouble() -> None:
    here = world(400, 17)
    x = dict(here.hosts[0].columns)
    x["x0"], x["x1"] = np.full(400, np.nan), np.full(400, 3.0)
    host = replace(here.hosts[0], columns=x)
    model = fit(here.guest, here.y["logistic"], [host], Settings(trees=3), entropy=seeded)
    assert {s.column for s in model.feature_blocks[0].splits} <= {"x2", "x3"}
    assert np.isfinite(model.predict(here.guest, [host])).all()


def test_settings_that_differ_or_make_no_sense() -> None:
    for wrong in (
        {"minimum_rows": 19},
        {"depth": 0},
        {"patience": 3},
        {"loss": "hinge"},
        {"bins": 255},
    ):
        with pytest.raises(Fault) as raised:
            Settings(**wrong)
        assert raised.value.code == "learn.settings"
    assert Settings(trees=3).digest() != Settings(trees=4).digest()


def test_scoring_without_a_party_or_a_column_is_an_error() -> None:
    model, here = small()
    with pytest.raises(Fault, match="other parties"):
        model.predict(here.guest, [])
    lacking = dict(here.hosts[0].columns)
    del lacking[model.feature_blocks[0].splits[0].column]
    with pytest.raises(Fault, match="column") as raised:
        model.predict(here.guest, [replace(here.hosts[0], columns=lacking)])
    assert raised.value.code == "learn.column"


def test_gradients_are_the_derivatives() -> None:
    random = np.random.default_rng(18)
    for name in ("logistic", "squared", "poisson"):
        loss = Loss(name)
        y = random.integers(0, 2, 50).astype(float)
        score = random.standard_normal((1, 50))
        first, second = loss.gradients(y, score, np.ones(50))
        e = 1e-4
        for i in range(50):
            up, mid, low = (
                loss.average(y[i : i + 1], score[:, i : i + 1] + d, np.ones(1)) for d in (e, 0, -e)
            )
            assert (up - low) / (2 * e) == pytest.approx(first[i], abs=1e-6)
            assert (up - 2 * mid + low) / e**2 == pytest.approx(second[i], abs=1e-5)


def test_the_gate_opens_no_sums_about_people() -> None:
    record = Record()
    secret, rows = encrypt(Public(b"people", 40), np.zeros((2, 40), np.int64), seeded(0))
    sums, body = np.zeros((1, 1024), np.uint32), rows.body[:, :1].T.copy()
    options = {"holder": "host", "to": "guest", "minimum_rows": 20, "step": "s"}
    with pytest.raises(Refusal, match="about people"):
        open_histogram(record, secret, sums, body, personal=True, **options)
    assert not record.openings
    open_histogram(record, secret, sums, body, personal=False, **options)
    assert [o.values for o in record.openings] == [2]


def test_an_error_of_one_party_reaches_the_caller() -> None:
    def tap(frame: Frame) -> Frame:
        if frame.step == "t1.s1.sums":
            raise Fault("test.lost", "the link is gone", remedy="none")
        return frame

    here = world(1_000, 19)
    with pytest.raises(Fault, match="the link is gone"):
        fit(here.guest, here.y["logistic"], here.hosts, Settings(trees=3), entropy=seeded, tap=tap)
