"""Delay models and the order of degradation: partial days become whole ones, and the report says what stands in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.errors import Fault
from hanse.places.checks.checks import checked
from hanse.places.feeds import delays
from hanse.places.feeds.feed import Feed, days_between, feed, from_matrix
from hanse.places.feeds.standins import LADDER, SOURCES, degraded, ladder_text

DAYS = days_between("2025-01-01", "2025-12-31")
AS_OF = np.datetime64("2025-12-31")
STEPS = (0, 3, 7, 14, 30, 45)  # reports of one day come after so many days
FILLS = np.array([0.30, 0.55, 0.75, 0.90, 0.98, 1.0])


def filling(places: int = 40, noise: float = 0.03, seed: int = 1) -> tuple[Feed, np.ndarray]:
    """A feed that fills in over 45 days, weekends more slowly, and what it fills up to [places, days]."""
    random = np.random.default_rng(seed)
    final = np.exp(random.normal(7, 0.8, (places, 1)) + random.normal(0, 0.2, (places, DAYS.size)))
    slow = np.where(
        (DAYS.astype(int) % 7 >= 2) & (DAYS.astype(int) % 7 <= 3), 0.8, 1.0
    )  # Saturday, Sunday
    parts = []
    for step, share in zip(STEPS, FILLS, strict=True):
        told = share ** (1 / slow)[None] * np.exp(
            random.normal(0, noise * (1 - share), final.shape)
        )
        parts.append(
            from_matrix([f"c{n}" for n in range(places)], DAYS, final * told, lateness=step)
        )
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.and_then(part)
    return whole, final


def test_partial_days_are_completed_and_unbiased() -> None:
    whole, final = filling()
    model = delays.learn(whole, AS_OF, settled=46)
    assert model.gradual
    newest = DAYS[-46:]
    made = model.completed(whole, AS_OF, newest)
    raw = np.log(whole.known(AS_OF, newest) / final[:, -46:])
    off = np.log(made.values / final[:, -46:])
    assert np.median(raw) < -0.05  # as it comes, the feed looks quiet
    assert np.abs(np.median(off, axis=0)).max() < 0.02
    assert made.share[-1] == pytest.approx(0.3, abs=0.05)
    np.testing.assert_array_equal(
        model.completed(whole, AS_OF, DAYS[:30]).values, whole.known(AS_OF, DAYS[:30])
    )


def test_the_deviation_is_how_far_off_completed_days_are() -> None:
    whole, final = filling(places=200, noise=0.2)
    model = delays.learn(whole, AS_OF, settled=46)
    made = model.completed(whole, AS_OF, DAYS[-7:])
    off = np.log(made.values / final[:, -7:])
    inside = np.abs(off) <= 1.64 * made.deviation
    assert 0.85 <= inside.mean() <= 0.95  # 90 %


def test_only_what_was_known_is_learnt_from() -> None:
    whole, _ = filling()
    then = np.datetime64("2025-08-01")
    early, late = (
        delays.learn(whole, then, settled=46),
        delays.learn(whole.as_known(then), then, settled=46),
    )
    np.testing.assert_array_equal(early.share, late.share)


def test_a_feed_that_comes_whole_is_left_alone() -> None:
    whole = from_matrix(["a"] , DAYS, np.full((1, DAYS.size), 50.0), lateness=5)  # fmt: skip
    model = delays.learn(whole, AS_OF, settled=20)
    assert not model.gradual
    made = model.completed(whole, AS_OF, DAYS[-10:])
    assert made.values[0, :5].tolist() == [50.0] * 5
    assert np.isnan(made.values[0, 5:]).all()  # nothing is known: nothing is completed


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(Fault, match=r"feed\.delays"):
        delays.learn(from_matrix(["a"], DAYS[-20:], np.ones((1, 20))), AS_OF, settled=30)


def test_partial_days_are_no_faults_and_faults_in_them_are_found() -> None:
    """A feed of which 4 % of a day comes first: by itself the newest days look like another unit."""
    random = np.random.default_rng(3)
    final = np.exp(random.normal(8, 0.8, (40, 1)) + random.normal(0, 0.05, (40, DAYS.size)))
    names = [f"c{n}" for n in range(40)]
    early = from_matrix(names, DAYS, np.round(final * 0.06), lateness=0)
    whole = early.and_then(from_matrix(names, DAYS, np.round(final), lateness=5))
    model = delays.learn(whole, AS_OF, settled=6)
    _, found = checked(whole, AS_OF, gradual=model)
    assert not found
    assert {one.kind for one in checked(whole, AS_OF)[1]} >= {"unit"}  # what it would be without
    torn = np.where(
        (whole.date == DAYS[-3]) & (whole.reported == DAYS[-3]), whole.value * 1000, whole.value
    )
    spoilt = Feed(whole.places, whole.place, whole.date, whole.reported, torn)
    clean, found = checked(spoilt, AS_OF, gradual=model)
    assert [(one.kind, one.first, one.last) for one in found] == [("unit", DAYS[-3], DAYS[-3])]
    assert np.isnan(clean.known(AS_OF, DAYS[-3:-2])).all()


# --- the order of degradation -------------------------------------------------------------------------


def counts(lateness: int, until: int = 365, places: int = 30, name: str = "feed") -> Feed:
    random = np.random.default_rng(2)
    values = random.poisson(np.exp(random.normal(6, 1, (places, 1))) * np.ones(365)).astype(float)
    return from_matrix([f"p{n}" for n in range(places)], DAYS[:until], values[:, :until], lateness=lateness,
                       name=name)  # fmt: skip


def rungs(feeds: dict, **options: object) -> dict[str, str]:  # type: ignore[type-arg]
    clean, findings = {}, []
    for source, one in feeds.items():
        if one is None:
            clean[source] = None
            continue
        clean[source], found = checked(one, AS_OF)
        findings += found
    told = degraded(clean, findings, AS_OF, **options)  # type: ignore[arg-type]
    return {one.source: one.rung.name for one in told}


def test_fresh_feeds_stand_on_the_best_rung() -> None:
    told = rungs({"truth": counts(7), "area": counts(1), "panel": counts(2)})
    assert told == {"truth": "fresh", "area": "fresh", "panel": "fresh"}


def test_a_late_feed_goes_one_step_down_and_an_old_one_to_the_last() -> None:
    told = rungs({"truth": counts(1, 350), "area": counts(1, 345), "panel": counts(1, 290)})
    assert told == {"truth": "late", "area": "panel", "panel": "none"}


def test_missing_feeds_and_few_days() -> None:
    told = rungs({"truth": counts(1).where(counts(1).date > DAYS[-8]), "area": None})
    assert told == {"truth": "few", "area": "none"}


def test_values_taken_out_degrade_a_feed_and_say_why() -> None:
    torn = counts(1, name="operator")
    spoilt = np.where(torn.date >= DAYS[-6], torn.value * 1000, torn.value)
    torn = Feed(torn.places, torn.place, torn.date, torn.reported, spoilt, "operator")
    clean, findings = checked(torn, AS_OF)
    told = degraded({"area": clean}, findings, AS_OF)
    assert (told[0].rung.name, told[0].steps) == ("panel", 2)
    assert "another unit" in told[0].why
    assert "operator" in str(told[0])


def test_one_bad_place_does_not_degrade_the_feed() -> None:
    one = counts(1)
    dead = np.where((one.place == 3) & (one.date >= DAYS[-20]), 0.0, one.value)
    clean, findings = checked(Feed(one.places, one.place, one.date, one.reported, dead), AS_OF)
    assert [f.kind for f in findings if f.removed] == ["zero"]
    assert degraded({"truth": clean}, findings, AS_OF)[0].rung.name == "fresh"


def test_a_gradual_operator_is_completed() -> None:
    whole, _ = filling()
    clean, findings = checked(whole, AS_OF)
    assert degraded({"area": clean}, findings, AS_OF, gradual=["area"])[0].rung.name == "completed"


def test_the_documented_order_is_the_one_in_the_code() -> None:
    page = Path(__file__).parents[2] / "docs" / "guide" / "feeds.md"
    assert ladder_text() in page.read_text(encoding="utf-8")
    assert set(LADDER) == set(SOURCES)


def test_quarterly_sources_are_not_daily_ones() -> None:
    quarters = np.arange("2023-01", "2025-12", 3, dtype="datetime64[M]").astype("datetime64[D]")
    one = feed(["a"] * quarters.size, quarters, np.full(quarters.size, 100.0), lateness=20)
    assert rungs({"places": one}) == {"places": "fresh"}
    stopped = one.where(one.date < np.datetime64("2025-04-01"))
    assert rungs({"places": stopped}) == {"places": "none"}
