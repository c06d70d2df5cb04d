"""The joint crowd model: one program at every owner, sums between them, and nothing told from the future."""

from __future__ import annotations

import numpy as np
import pytest
from crowd_town import Town, town

from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Refusal
from hanse.gate.sums import SumPolicy
from hanse.learn.horizontal.stage import together
from hanse.places.crowd import judgement
from hanse.places.crowd.choice import choose
from hanse.places.crowd.columns import Areas, columns_of
from hanse.places.crowd.federation import Alone, Meter, Secure, gather
from hanse.places.crowd.judgement import calibrate, monotone
from hanse.places.crowd.model import Crowd, CrowdSettings
from hanse.places.crowd.newcomers import public_columns
from hanse.places.crowd.regulars import RULES, Signal, blend_weights, drift, simplex_minimum
from hanse.places.crowd.replay import COLUMNS, City, draw_days, replay_known, replay_new
from hanse.places.crowd.rhythm import Traits, day_rows
from hanse.places.crowd.trees import Open, TreeSettings, binned

SMALL = CrowdSettings(
    factors=2, boosted=1, judged=30, trees=TreeSettings(trees=3, depth=1, column_share=0.8)
)
AT = {name: number for number, name in enumerate(COLUMNS)}


def city_of(made: Town, lateness: int = 1, signal=None, counts=None) -> City:
    codes = binned([public_columns(made.ground), np.log(made.table)]).codes
    feed = made.feed(lateness) if counts is None else Town(
        made.ground, made.calendar, counts, made.table, made.owners).feed(lateness)  # fmt: skip
    return City(
        made.ground,
        made.calendar,
        feed,
        np.zeros((made.calendar.size, 0)),
        lambda _: Open(codes),
        signal,
    )


def trained(end, made: Town, own, newest: int, settings=SMALL) -> Crowd:
    codes = binned([public_columns(made.ground), np.log(made.table)]).codes
    logs = np.where(np.arange(made.calendar.size) <= newest, made.logs[own], np.nan)
    crowd = Crowd(end, made.ground, made.calendar, own, Open(codes), settings)
    crowd.train(logs, np.zeros((made.calendar.size, 0)), newest, 1)
    return crowd


def p30(rows: np.ndarray) -> float:
    return float(np.mean(np.abs(rows[:, AT["point"]] / rows[:, AT["truth"]] - 1) <= 0.3))


# --- one program at every owner -------------------------------------------------------------------------


def told_by(crowd: Crowd, made: Town, own, newest: int) -> np.ndarray:
    logs = np.where(np.arange(made.calendar.size) <= newest, made.logs[own], np.nan)
    return crowd.day(logs, newest + 1).judged.point


def test_federated_is_what_central_training_gives():
    made, newest = town(), 200
    everybody = np.arange(made.ground.size)
    central = told_by(trained(Alone(), made, everybody, newest), made, everybody, newest)
    parts = gather([lambda end, own=own: told_by(trained(end, made, own, newest), made, own, newest)
                    for own in made.owners])  # fmt: skip
    federated = np.empty(made.ground.size)
    for own, part in zip(made.owners, parts, strict=True):
        federated[own] = part
    assert np.abs(federated / central - 1).max() < 0.01


def test_secure_sums_give_what_sums_in_the_clear_give():
    made, newest = town(places=36, days=160), 150
    few = CrowdSettings(factors=1, boosted=0, judged=12, trees=TreeSettings(trees=1, depth=1))

    def work(end, own) -> np.ndarray:
        return told_by(trained(end, made, own, newest, few), made, own, newest)

    plain = gather([lambda end, own=own: work(end, own) for own in made.owners])
    policy = SumPolicy(tuple(f"owner {i}" for i in range(3)))
    played = together([lambda end, i=i, own=own: work(Secure(end, i, 3), own)
                       for i, own in enumerate(made.owners)], policy)  # fmt: skip
    for left, right in zip(plain, played.results, strict=True):
        assert np.allclose(left, right, rtol=1e-4)
    told = {opening.what.split(" of")[0] for opening in played.record.openings}
    assert told == {"whether the parts", "the sum"}, told  # no part of an owner's ever opens


def test_what_opens_are_sums_that_outnumber_no_places_counts():
    """Fewer numbers open than there are counts, and those of a day are as many as the rhythm has factors."""
    made, meter = town(), Meter()
    gather([lambda end, own=own: trained(end, made, own, 200) for own in made.owners], meter)
    counts = made.ground.size * 201
    turns = 6
    assert meter.numbers["rhythm"] < turns * 201 * (2 + SMALL.factors) + turns * 20
    assert meter.numbers["rhythm"] < counts


class Listening(Alone):
    """One owner; what it adds to sums is kept by name."""

    def __init__(self):
        self.added = {}

    def sum(self, name, vector):
        self.added[name] = vector.copy()
        return super().sum(name, vector)


def test_an_owner_tells_nothing_of_days_that_hardly_any_of_its_places_know():
    """Of a sum over one place, others would read its residual, and its traits next to it."""
    chance = np.random.default_rng(3)
    logs = chance.normal(size=(5, 4))
    logs[1:, 1] = np.nan  # one place knows this day
    logs[2:, 2] = np.nan  # two know this one
    traits = Traits(np.zeros(5), chance.normal(size=(5, 2)), np.ones(5, np.bool_))
    end = Listening()
    rows = day_rows(end, logs, traits, 5 * np.eye(3), "day.0", np.zeros((4, 3)), first=True)
    (told,) = end.added.values()
    assert not told[[1, 2]].any()
    assert told[[0, 3]].all()
    assert np.isfinite(rows).all(axis=1).tolist() == [True, False, False, True]
    judgement.together(end, logs, np.ones(4), 1, "regular")
    told = end.added["regular.days"]
    assert not told[:, [1, 2]].any()
    assert told[:, [0, 3]].all()


def test_owners_that_run_different_jobs_are_told_so():
    with pytest.raises(Fault, match="different sums"):
        gather([lambda end: end.sum("a", np.zeros(2)), lambda end: end.sum("b", np.zeros(2))])
    with pytest.raises(Fault, match="finite"):
        Alone().sum("a", np.array([np.nan]))


def test_two_owners_are_too_few_for_a_secure_sum():
    with pytest.raises(Refusal):
        together([lambda end: Secure(end, 0, 2).sum("a", np.zeros(1))] * 2, SumPolicy(("a", "b")))
    assert SeededEntropy("x").take(1)


# --- nothing from the future ----------------------------------------------------------------------------


def test_what_is_not_known_yet_changes_nothing():
    made = town()
    span = range(205, 210)
    own = np.arange(made.ground.size)
    honest = replay_known(Alone(), city_of(made, 7), own, span, SMALL).table()
    spoiled = made.counts.copy()
    spoiled[:, 203:] *= 50  # day 203 is reported on day 210, after the span
    other = replay_known(Alone(), city_of(made, 7, counts=spoiled), own, span, SMALL).table()
    assert np.array_equal(honest[:, AT["point"]], other[:, AT["point"]])
    spoiled[:, 197] *= 50  # reported on day 204: all of the span may know it
    third = replay_known(Alone(), city_of(made, 7, counts=spoiled), own, span, SMALL).table()
    assert not np.array_equal(honest[:, AT["point"]], third[:, AT["point"]])


def test_places_with_a_history_are_told_and_intervals_hold():
    made = town(days=260)
    rows = replay_known(Alone(), city_of(made), np.arange(60), range(220, 258), SMALL).table()
    assert p30(rows) > 0.99
    inside = (rows[:, AT["low"]] <= rows[:, AT["truth"]]) & (
        rows[:, AT["truth"]] <= rows[:, AT["high"]]
    )
    assert 0.84 < inside.mean() < 0.97  # 2,280 place-days that share their days


def test_a_counted_day_and_then_a_week_make_a_new_place_better():
    made = town()
    held = np.arange(0, 60, 6)
    rest = np.setdiff1d(np.arange(60), held)
    new = draw_days(held, np.arange(150, 180), (0, 1, 7), (1, 2), np.ones(made.counts.shape, bool))
    rows = replay_new(Alone(), city_of(made), rest, held, new, range(200, 215), SMALL).table()
    score = {k: p30(rows[rows[:, AT["counted"]] == k]) for k in (0, 1, 7)}
    assert score[0] < score[1] <= score[7]
    assert score[7] > 0.95


# --- rules, blend, drift --------------------------------------------------------------------------------


def test_the_blend_follows_the_rule_that_is_right():
    chance = np.random.default_rng(1)
    errors = 0.3 * chance.normal(size=(4000, len(RULES)))
    errors[:, 0] = 0.01 * chance.normal(size=4000)
    usable = np.ones(len(RULES), bool)
    weights = blend_weights(Alone(), errors, "blend", usable)
    blended = np.mean((errors @ weights) ** 2)
    assert weights[0] > 0.5
    assert blended < np.mean(errors[:, 1:] ** 2) / 20
    usable[0] = False
    assert blend_weights(Alone(), errors, "blend", usable)[0] == 0.0


def test_simplex_minimum_beats_every_corner():
    chance = np.random.default_rng(2)
    for _ in range(20):
        root = chance.normal(size=(4, 4))
        square = root @ root.T
        w = simplex_minimum(square, np.zeros(4), np.ones(4, bool))
        assert w.min() >= 0
        assert w.sum() == pytest.approx(1)
        assert w @ square @ w <= np.diag(square).min() + 1e-9


def test_in_a_shock_the_fresh_signal_takes_over():
    made = town(days=240, shock=-0.9, from_day=215)
    signal = Signal(made.logs + np.random.default_rng(3).normal(size=made.logs.shape) * 0.05)

    def fresh(day: int) -> Signal:
        return Signal(np.where(np.arange(240) <= day, signal.logs, np.nan))

    own = np.arange(60)
    with_signal = replay_known(
        Alone(), city_of(made, 30, fresh), own, range(216, 222), SMALL
    ).table()
    without = replay_known(Alone(), city_of(made, 30), own, range(216, 222), SMALL).table()
    assert p30(without) < 0.1
    assert p30(with_signal) > 0.9


def test_drift_is_nothing_in_ordinary_times():
    chance = np.random.default_rng(5)
    changes = 0.03 * chance.normal(size=200)
    assert drift(changes, 199) < 0.3
    changes[199] = -0.5
    assert drift(changes, 199) == 1.0
    assert drift(np.full(200, np.nan), 199) == 0.0


# --- a place's own weekdays -----------------------------------------------------------------------------


def test_a_week_of_counts_teaches_a_places_own_weekdays():
    """Places whose weekdays nobody shares: after four counted weeks they are known, beforehand they are not."""
    made = town()
    chance = np.random.default_rng(11)
    own = 0.2 * chance.normal(size=(60, 7))
    own -= own.mean(axis=1, keepdims=True)
    counts = made.counts * np.exp(own[:, made.calendar.like])
    lively = Town(made.ground, made.calendar, counts, made.table, made.owners)
    crowd = trained(Alone(), lively, np.arange(40), 200)
    assert 0.02 < crowd.rhythm.weekdays < 0.04  # of 0.034; factors take a part
    assert trained(Alone(), made, np.arange(40), 200).rhythm.weekdays < 0.004
    target, days = 201, np.arange(160, 188)
    crowd.ahead(target)
    errors = {}
    for count in (0, 28):
        met = [
            crowd.newcomer(place, days[:count], np.log(counts[place, days[:count]]))
            for place in range(40, 60)
        ]
        told = crowd.newcomers_on(target, met, [count] * 20)
        errors[count] = np.log(counts[40:, target]) - told.log
    weekday = own[40:, made.calendar.like[target]]
    assert abs(np.corrcoef(errors[28], weekday)[0, 1]) < 0.5
    assert errors[28].std() < 0.6 * weekday.std()


# --- judgement ------------------------------------------------------------------------------------------


def test_calibration_of_a_known_distribution():
    """Errors of deviation 0.3: half of ln(1.3/0.7) is 1.03 of them, so the best P30 is 70 %."""
    chance = np.random.default_rng(7)
    error = 0.3 * chance.normal(size=40_000)
    scores = calibrate(Alone(), error, np.full(error.size, 0.3), "test", 0.6)
    judged = scores.judge(np.zeros(1), np.array([0.3]))
    assert judged.confidence[0] == pytest.approx(0.698, abs=0.02)
    assert np.log(judged.point[0]) == pytest.approx(np.log(0.7 * 1.3) / 2, abs=0.02)
    fresh = np.exp(0.3 * chance.normal(size=40_000))
    inside = (judged.low[0] <= fresh) & (fresh <= judged.high[0])
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    assert judged.published[0]


def test_what_does_not_hold_is_not_published():
    chance = np.random.default_rng(8)
    wide = np.repeat([0.2, 1.2], 5000)
    error = wide * chance.normal(size=wide.size)
    scores = calibrate(Alone(), error, wide, "test", 0.75)
    told = scores.judge(np.zeros(2), np.array([0.2, 1.2]))
    assert told.published.tolist() == [True, False]
    assert told.confidence[0] > told.confidence[1]


def test_places_that_err_together_widen_intervals_by_the_lateness():
    chance = np.random.default_rng(12)
    fresh = np.ones(60)
    alone = chance.normal(size=(200, 60))
    shared = 0.8 * chance.normal(size=60) + 0.6 * alone
    wide = {lag: judgement.together(Alone(), shared, fresh, lag, "t") for lag in (1, 7, 30)}
    assert 1.0 < wide[1] < 1.03 < wide[7] < 1.1 < wide[30] < 1.5
    assert judgement.together(Alone(), alone, fresh, 30, "t") == pytest.approx(1.0, abs=0.02)
    assert judgement.together(Alone(), np.full((3, 60), np.nan), fresh, 1, "t") == 1.0


def test_fresh_errors_say_how_wide_an_interval_is():
    chance = np.random.default_rng(13)
    error = np.r_[0.1 * chance.normal(size=5000), 0.3 * chance.normal(size=5000)]
    fresh = np.r_[np.full(5000, 0.02), np.ones(5000)]
    deviation = np.full(error.size, 0.2)
    aged = calibrate(Alone(), error, deviation, "t", 0.6, fresh=fresh)
    even = calibrate(Alone(), error, deviation, "t", 0.6)
    assert aged.high * 0.2 == pytest.approx(0.3 * 1.645, rel=0.05)
    assert even.high < 0.9 * aged.high


def test_monotone_pools_what_falls():
    assert monotone(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 3.0])).tolist() == [
        1.0,
        2.25,
        2.25,
    ]


# --- columns and choice ---------------------------------------------------------------------------------


def test_columns_of_a_holder_do_not_hang_on_the_unit_of_shares():
    chance = np.random.default_rng(9)
    areas = Areas(chance.uniform(0, 5, (8, 2)), np.arange(6) % 8)
    table = chance.uniform(1e6, 2e6, (8, 3))
    first = columns_of(table, areas, chance.uniform(0, 5, (6, 2)))
    assert first.shape[0] == 6
    assert np.isfinite(first).all()
    missing = columns_of(np.where(table > 1.9e6, np.nan, table), areas, np.zeros((6, 2)))
    assert missing.shape[0] == 6


def test_the_places_worth_a_counter_are_the_uncertain_ones():
    made = town()
    counted = np.zeros(60, bool)
    counted[:40] = True
    crowd = trained(Alone(), made, np.arange(40), 200)
    prior = crowd.prior
    assert prior is not None
    object.__setattr__(prior, "spread", np.where(np.arange(60) == 50, 4.0, 0.3))
    found = choose(prior, made.ground, counted, count=5)
    assert len({c.place for c in found}) == 5
    assert all(not counted[c.place] for c in found)
    assert found[0].place == 50
    with pytest.raises(Fault, match="no place"):
        choose(prior, made.ground, np.ones(60, bool))
