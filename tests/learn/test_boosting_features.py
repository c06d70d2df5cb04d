"""What boosting offers beyond numbers and one output: categories, classes, weights, constraints, growth, blocks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from boosted import auc, world

from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.learn.boosting import (
    Block,
    LabelBlock,
    Model,
    Pledge,
    Rows,
    Settings,
    commitment,
    fit,
)
from hanse.learn.boosting.plain import plain_boosting
from hanse.wire import Frame

F64 = np.ndarray


def seeded(role: int) -> SeededEntropy:
    return SeededEntropy(f"boosting|{role}")


def plane(rows: int, seed: int) -> tuple[np.random.Generator, Rows, dict[str, F64]]:
    """Chance, a label holder with two columns, and two more columns."""
    random = np.random.default_rng(seed)
    guest = Rows("guest", range(rows), {n: random.standard_normal(rows) for n in "ab"}, False)
    return random, guest, {n: random.standard_normal(rows) for n in "cd"}


def everything(*parties: Rows) -> dict[str, F64]:
    return {f"{p.party}.{n}": v for p in parties for n, v in p.columns.items()}


# --- categories ---------------------------------------------------------------------------------------


def towns(rows: int, seed: int, many: int = 12) -> tuple[Rows, Rows, F64]:
    """Labels that depend on a town's name in no order, with missing towns."""
    random, guest, other = plane(rows, seed)
    names = np.array([f"town {k}" for k in range(many)], object)
    effect = np.where(np.arange(many) % 3 == 0, 1.5, -0.7)
    town = random.integers(0, many, rows)
    truth = 0.5 * guest.columns["a"] + effect[town] + 0.3 * other["c"]
    column = names[town]
    gone = random.random(rows) < 0.05
    column[gone] = None
    host = Rows("host", range(rows), {"town": column, **other}, False)
    y = truth - 2.0 * gone + 0.3 * random.standard_normal(rows)
    return guest, host, y


@pytest.mark.parametrize("side", ["host", "guest"])
def test_categories_are_split_as_in_one_place(side: str) -> None:
    guest, host, y = towns(8_000, 41)
    if side == "guest":
        guest = replace(guest, columns={**guest.columns, "town": host.columns["town"]})
        host = replace(host, columns={n: host.columns[n] for n in "cd"})
    settings = Settings(loss="squared", trees=1, depth=3, bins=16, learning_rate=0.5)
    model = fit(guest, y, [host], settings, entropy=seeded)
    twin = plain_boosting(everything(guest, host), y, settings)
    joint = model.predict(guest, [host])
    assert np.allclose(joint, twin.predict(everything(guest, host)), rtol=1e-9)
    block = model.feature_blocks[0] if side == "host" else model.label_block.own
    root = next(s for s in block.splits if s.codes is not None)
    known = block.categories["town"].values
    left = {int(known[c - 1].split()[1]) % 3 == 0 for c in root.codes if c}
    assert len(left) == 1  # all towns of one kind, however they are numbered
    flat = {n: v for n, v in everything(guest, host).items() if not n.endswith("town")}
    without = plain_boosting(flat, y, settings).predict(flat)
    assert np.var(y - joint) < 0.6 * np.var(y - without)


def test_rare_and_unknown_categories() -> None:
    """More categories than bins share one code; a new one goes with them; none is told alone below 20 rows."""
    guest, host, y = towns(3_000, 42, many=60)
    settings = Settings(loss="squared", trees=3, depth=3, bins=8)
    model = fit(guest, y, [host], settings, entropy=seeded)
    known = model.feature_blocks[0].categories["town"]
    assert known.pooled
    assert len(known.values) == 7
    rare = next(t for t in host.columns["town"] if t is not None and t not in known.values)
    few = slice(0, 200)
    guest = replace(guest, keys=range(200), columns={n: v[few] for n, v in guest.columns.items()})
    scores = []
    for name in (rare, "a town that nobody saw"):
        column = np.full(200, name, object)
        one = {n: v[few] for n, v in host.columns.items()} | {"town": column}
        scores.append(model.predict(guest, [replace(host, keys=range(200), columns=one)]))
    assert np.array_equal(*scores)


def test_a_column_that_changes_its_type_is_refused() -> None:
    guest, host, y = towns(1_000, 43)
    model = fit(guest, y, [host], Settings(loss="squared", trees=3, depth=3), entropy=seeded)
    numbers = replace(host, columns={**host.columns, "town": np.ones(1_000)})
    with pytest.raises(Fault) as raised:
        model.predict(guest, [numbers])
    assert raised.value.code == "learn.column"


# --- several classes ----------------------------------------------------------------------------------


def test_classes_share_one_sum_and_are_as_good_as_in_one_place() -> None:
    random, guest, other = plane(8_000, 44)
    host = Rows("host", range(8_000), other, False)
    score = np.stack([guest.columns["a"], other["c"], 0.5 - other["d"] ** 2])
    y = (score + random.gumbel(size=score.shape) * 0.6).argmax(axis=0).astype(np.float64)
    settings = Settings(loss="multinomial", classes=3, trees=4, depth=3, bins=16, learning_rate=0.5)
    model = fit(guest, y, [host], settings, entropy=seeded)
    joint = model.predict(guest, [host])
    twin = plain_boosting(everything(guest, host), y, settings).predict(everything(guest, host))
    assert joint.shape == (8_000, 3)
    assert np.allclose(joint.sum(axis=1), 1)

    def loss(p: F64) -> float:
        return float(-np.log(p[np.arange(y.size), y.astype(int)]).mean())

    assert abs(loss(joint) - loss(twin)) < 0.004
    assert abs((joint.argmax(1) == y).mean() - (twin.argmax(1) == y).mean()) < 0.01
    alone = fit(guest, y, [], settings).predict(guest)
    assert loss(joint) < loss(alone) - 0.1
    # One public vector a sum, whatever the number of classes: 4,096 bytes and 8 a class.
    assert model.bytes["sums.body"] * 4096 == model.bytes["sums"] * 4 * 6


def test_two_classes_are_a_logistic_model() -> None:
    """With twice the step the softmax of two outputs moves as the logistic score does."""
    here = world(6_000, 45, missing=0.0)
    y = here.y["logistic"]
    one = Settings(trees=5, depth=3, bins=16, l2=0.0)
    two = replace(one, loss="multinomial", classes=2, learning_rate=0.05)
    single = fit(here.guest, y, here.hosts, one, entropy=seeded).predict(here.guest, here.hosts)
    both = fit(here.guest, y, here.hosts, two, entropy=seeded).predict(here.guest, here.hosts)
    assert abs(auc(y, single) - auc(y, both[:, 1])) < 0.002
    assert np.abs(single - both[:, 1]).mean() < 0.01


# --- weights ------------------------------------------------------------------------------------------


def test_weights_are_repetitions() -> None:
    """A weight of 2 gives the leaf values of a row that stands there twice, and 0 of one that does not."""
    here = world(4_000, 46, missing=0.0)
    y = here.y["logistic"]
    random = np.random.default_rng(47)
    weights = random.integers(1, 3, y.size).astype(np.float64)
    settings = Settings(trees=4, depth=3, bins=16, learning_rate=0.3)
    model = fit(here.guest, y, here.hosts, settings, weights=weights, entropy=seeded)
    joint = model.predict(here.guest, here.hosts)
    columns = here.all_columns
    twin = plain_boosting(columns, y, settings, weights).predict(columns)
    assert np.mean((joint - twin) ** 2) < 1e-3 * y.var()
    plain = fit(here.guest, y, here.hosts, settings, entropy=seeded).predict(here.guest, here.hosts)
    assert np.mean((joint - plain) ** 2) > 2 * np.mean((joint - twin) ** 2)
    again = np.repeat(np.arange(y.size), weights.astype(int))
    twice = [
        replace(r, keys=range(again.size), columns={n: v[again] for n, v in r.columns.items()})
        for r in (here.guest, *here.hosts)
    ]
    start = fit(twice[0], y[again], twice[1:], replace(settings, trees=1)).label_block.start
    assert model.label_block.start == pytest.approx(start, abs=1e-9)


@pytest.mark.parametrize("wrong", [[-1.0], [np.nan], [0.0], ["x"], [1.0, 2.0]])
def test_weights_that_make_no_sense(wrong: list[object]) -> None:
    here = world(200, 48)
    weights = np.array(wrong * (200 if len(wrong) == 1 else 1))
    with pytest.raises(Fault) as raised:
        fit(here.guest, here.y["squared"], here.hosts, Settings(loss="squared"), weights=weights)
    assert raised.value.code == "learn.weights"


# --- constraints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("party", "sign"), [("host", 1), ("host", -1), ("guest", 1)])
def test_a_monotone_column_only_rises_or_falls(party: str, sign: int) -> None:
    random, guest, other = plane(4_000, 49)
    name = "c" if party == "host" else "a"
    wave = other["c"] if party == "host" else guest.columns["a"]
    y = sign * wave + 1.5 * np.sin(3 * wave) + other["d"] + 0.2 * random.standard_normal(4_000)
    host = Rows("host", range(4_000), other, False)
    bound = {name: sign}
    if party == "host":
        host = replace(host, monotone=bound)
    else:
        guest = replace(guest, monotone=bound)
    settings = Settings(loss="squared", trees=15, depth=4, bins=32, learning_rate=0.3)
    curves = {}
    for kind, parties in (
        ("bound", (guest, host)),
        ("free", (replace(guest, monotone={}), replace(host, monotone={}))),
    ):
        model = fit(parties[0], y, [parties[1]], settings, entropy=seeded)
        grid = np.linspace(-2.5, 2.5, 200)
        steps = []
        for at in range(0, 4_000, 800):  # other columns as some row has them
            changed = [
                replace(r, keys=range(200), columns={
                    n: grid if (r.party, n) == (party, name) else np.full(200, v[at])
                    for n, v in r.columns.items()})
                for r in parties
            ]  # fmt: skip
            steps.append(np.diff(model.predict(changed[0], changed[1:])))
        curves[kind] = sign * np.array(steps)
    assert curves["bound"].min() >= -1e-12
    assert curves["free"].min() < -0.1  # the data does not rise by itself
    assert curves["bound"].max() > 0.1
    monotone = {f"{party}.{name}": sign}
    twin = plain_boosting(everything(guest, host), y, settings, monotone=monotone)
    joint = fit(guest, y, [host], settings, entropy=seeded).predict(guest, [host])
    gap = np.mean((y - joint) ** 2) - np.mean((y - twin.predict(everything(guest, host))) ** 2)
    assert abs(gap) < 0.01 * y.var()


@pytest.mark.parametrize(
    ("monotone", "settings"),
    [({"z": 1}, {}), ({"c": 2}, {}), ({"town": 1}, {}), ({"c": 1}, {"loss": "multinomial", "classes": 2})],
)  # fmt: skip
def test_constraints_that_make_no_sense(
    monotone: dict[str, int], settings: dict[str, object]
) -> None:
    guest, host, y = towns(300, 50)
    with pytest.raises(Fault) as raised:
        fit(guest, (y > 0).astype(float), [replace(host, monotone=monotone)], Settings(**settings))
    assert raised.value.code == "learn.monotone"


# --- growth -------------------------------------------------------------------------------------------


def test_leaf_wise_trees_take_the_best_leaf_first() -> None:
    here = world(6_000, 51)
    y = here.y["squared"]
    shape = Settings(loss="squared", trees=1, depth=6, growth="leaf", leaves=8, learning_rate=1.0)
    found = {}
    for leaves in (2, 5, 8, 64):
        model = fit(here.guest, y, here.hosts, replace(shape, leaves=leaves), entropy=seeded)
        tree = model.label_block.trees[0]
        assert sum(n.owner < 0 for n in tree) <= leaves
        found[leaves] = [round(n.gain, 3) for n in tree if n.owner >= 0]
    # A larger tree begins with the splits of a smaller one, which are those that gain most of all that are open.
    full = sorted(found[64], reverse=True)
    assert len(found[8]) == 7
    assert sorted(found[5], reverse=True)[0] == full[0]
    assert sum(found[8]) <= sum(full[:7]) + 1e-6
    assert sum(found[2]) < sum(found[5]) < sum(found[8]) < sum(found[64])
    level = fit(here.guest, y, here.hosts, replace(shape, growth="level", depth=3), entropy=seeded)
    eight = sum(n.gain for n in level.label_block.trees[0] if n.owner >= 0)
    assert sum(found[8]) > eight  # as many leaves, better placed


# --- who learns what ----------------------------------------------------------------------------------


def test_columns_stand_in_another_order_in_every_tree() -> None:
    here = world(2_000, 52, columns=6)
    host = replace(here.hosts[0], monotone={"x0": 1})
    kinds: list[tuple[int, ...]] = []

    def tap(frame: Frame) -> Frame:
        if frame.step.endswith(".kinds"):
            kinds.append(tuple(np.array(frame.body).tolist()))
        return frame

    settings = Settings(trees=30, depth=1)
    fit(here.guest, here.y["logistic"], [host], settings, entropy=seeded, tap=tap)
    places = [k.index(2) for k in kinds]
    assert len(kinds) == 30
    assert len(set(places)) == 6
    assert max(places.count(p) for p in range(6)) < 15


def test_first_trees_of_the_label_holder_alone_are_told_to_nobody() -> None:
    here = world(2_000, 53)
    steps: list[str] = []

    def tap(frame: Frame) -> Frame:
        steps.append(frame.step)
        return frame

    settings = Settings(trees=3, depth=2, own_trees=1)
    model = fit(here.guest, here.y["logistic"], here.hosts, settings, entropy=seeded, tap=tap)
    assert not [s for s in steps if s.startswith("t0.")]
    assert [s for s in steps if s.startswith("t1.")]
    owners = [{n.owner for n in tree if n.owner >= 0} for tree in model.label_block.trees]
    assert owners[0] == {0}
    assert 1 in owners[1] | owners[2]
    assert np.isfinite(model.predict(here.guest, here.hosts)).all()


def test_importance_says_whose_columns_matter_and_to_their_owner_which() -> None:
    random, guest, other = plane(3_000, 55)
    y = 2 * other["c"] + 0.5 * guest.columns["a"] + 0.1 * random.standard_normal(3_000)
    host = Rows("host", range(3_000), other, False)
    settings = Settings(loss="squared", trees=5, depth=3)
    silent = fit(guest, y, [host], settings, entropy=seeded)
    told = fit(guest, y, [host], replace(settings, tell_gains=True), entropy=seeded)
    shares = silent.label_block.importance()
    assert shares["host"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)
    assert "c" not in json.dumps(silent.label_block.body()["trees"])
    block = told.feature_blocks[0]
    assert all(np.isnan(s.gain) for s in silent.feature_blocks[0].splits)
    assert block.importance()["c"] > 0.9
    gains = sum(n.gain for t in told.label_block.trees for n in t if n.owner == 1)
    assert sum(s.gain for s in block.splits) == pytest.approx(gains)


# --- what a job commits to ----------------------------------------------------------------------------


def pledged(parties: list[Rows], y: F64) -> list[Pledge]:
    nonces = [bytes([k]) * 32 for k in range(len(parties))]
    said = {
        r.party: commitment(r, nonces[k], **({} if k else {"label": y}))
        for k, r in enumerate(parties)
    }
    return [Pledge(nonce, said) for nonce in nonces]


def test_columns_that_were_swapped_after_signing_are_noticed() -> None:
    here = world(600, 56)
    y = here.y["logistic"]
    parties = [here.guest, *here.hosts]
    pledges = pledged(parties, y)
    settings = Settings(trees=2, depth=2)
    fit(parties[0], y, parties[1:], settings, pledges=pledges)
    swapped = dict(here.hosts[0].columns)
    swapped["x0"], swapped["x1"] = swapped["x1"], swapped["x0"]
    one = dict(here.hosts[0].columns)
    one["x0"] = np.where(np.arange(600) == 7, 0.25, one["x0"])
    for columns in (swapped, one):
        with pytest.raises(Foul) as raised:
            fit(parties[0], y, [replace(parties[1], columns=columns)], settings, pledges=pledges)
        assert raised.value.code == "learn.swapped"
        assert "host-1" in raised.value.message
    with pytest.raises(Foul, match="guest"):
        fit(parties[0], 1 - y, parties[1:], settings, pledges=pledges)


def test_a_party_that_lies_about_its_commitment_is_named_by_the_others() -> None:
    """Its own node would stop it; one that was changed not to is stopped by the label holder."""
    here = world(600, 57)
    parties = [here.guest, *here.hosts]
    y = here.y["logistic"]
    honest, theirs = pledged(parties, y)
    other = replace(parties[1], columns={n: -v for n, v in parties[1].columns.items()})
    lying = Pledge(theirs.nonce, {**theirs.commitments, "host-1": commitment(other, theirs.nonce)})
    with pytest.raises(Foul, match="host-1"):
        fit(parties[0], y, [other], Settings(trees=1), pledges=[honest, lying])


# --- blocks in a store --------------------------------------------------------------------------------


def stored(model: Model) -> Model:
    """The model after its blocks were written and read as JSON."""
    label = LabelBlock.from_body(json.loads(json.dumps(model.label_block.body(), allow_nan=False)))
    blocks = [
        Block.from_body(json.loads(json.dumps(b.body(), allow_nan=False)))
        for b in model.feature_blocks
    ]
    return replace(model, label_block=label, feature_blocks=blocks)


def test_blocks_survive_a_store() -> None:
    guest, host, y = towns(1_500, 58)
    column = host.columns["c"].copy()
    column[::3] = np.nan  # a split of missing values alone has a threshold of minus infinity
    host = replace(host, columns={**host.columns, "c": column})
    settings = Settings(loss="squared", trees=6, depth=4, tell_gains=True)
    model = fit(guest, y, [host], settings, entropy=seeded)
    again = stored(model)
    assert np.array_equal(model.predict(guest, [host]), again.predict(guest, [host]))
    assert again.label_block == model.label_block or repr(again.label_block) == repr(
        model.label_block
    )
    assert repr(again.feature_blocks) == repr(model.feature_blocks)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b.pop("trees"),
        lambda b: b.update(version=9),
        lambda b: b["trees"][0][0].__setitem__(2, 0),  # a child that leads back
        lambda b: b["trees"][0][0].__setitem__(0, 7),
        lambda b: b["trees"].append([]),
        lambda b: b["trees"][0][-1].__setitem__(4, [1.0, 2.0]),
        lambda b: b["own"].pop("splits"),
        lambda b: b.update(loss="hinge"),
    ],
)
def test_a_damaged_block_is_refused(damage: object) -> None:
    here = world(600, 59)
    model = fit(
        here.guest, here.y["logistic"], here.hosts, Settings(trees=1, depth=2), entropy=seeded
    )
    body = json.loads(json.dumps(model.label_block.body()))
    LabelBlock.from_body(body)
    damage(body)
    with pytest.raises(HanseError) as raised:
        LabelBlock.from_body(body)
    assert raised.value.code == "model.damaged"
