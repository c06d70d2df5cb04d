"""What a design promises to see is seen that often, noise included; the arithmetic agrees with itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from lift_worlds import plan_of

from hanse.errors import Refusal
from hanse.measure.lift.effects import Noised, mean_of, p_value, rate_of
from hanse.measure.lift.power import (
    Design,
    Visible,
    sizes_for_share_lift,
    sizes_for_value_lift,
    smallest_share_lift,
    smallest_value_lift,
)

PLAIN = Design(2000, 3000, noise=False)


def lift_of(found: Visible) -> float:
    assert found.lift is not None
    return found.lift


# --- the formulas ------------------------------------------------------------------------------------


def test_without_noise_it_is_the_textbook_s_formula() -> None:
    """Two arms of n: (z(0.975) sqrt(2 p q) + z(0.8) sqrt(p1 q1 + p2 q2))^2 / (p1 - p2)^2 = n."""
    found = lift_of(smallest_share_lift(replace(PLAIN, control=2000), 0.10))
    p1, p2, p = 0.10, 0.10 + found, 0.10 + found / 2
    root = 1.959964 * math.sqrt(2 * p * (1 - p))
    root += 0.841621 * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    assert (root / found) ** 2 == pytest.approx(2000, rel=1e-5)


def test_a_value_without_noise_is_the_textbook_s_too() -> None:
    found = smallest_value_lift(replace(PLAIN, shares=0, caps=(1000,)), 20.0, 50.0)
    assert found.lift == pytest.approx(
        (1.959964 + 0.841621) * 50 * math.sqrt(1 / 2000 + 1 / 3000), rel=1e-5
    )
    assert found.relative == pytest.approx(lift_of(found) / 20)
    assert found.noise_part == 0.0


def test_noise_is_that_of_the_question_s_own_release() -> None:
    design = Design(5000, 5000, 0.7, k=20, shares=2, caps=(127,), segments=3)
    p = plan_of(0.7, segments=True, most=127)
    for kind, outcome, planned in (
        ("people", "", ""), ("crowd", "share0", "visited"), ("sum", "value0", "spent"),
    ):  # fmt: skip
        place = next(
            i for i, f in enumerate(p.figures)
            if (f.arm, f.segment, f.kind, f.outcome) == ("treated", "old", kind, planned)
        )  # fmt: skip
        assert design.sd(kind, outcome) == p.release.sd(place)  # type: ignore[arg-type]
        if kind == "people":
            assert design.threshold == p.release.thresholds()[place]


@pytest.mark.parametrize(
    ("weaker", "of"),
    [
        (replace(PLAIN, noise=True, epsilon=0.3), replace(PLAIN, noise=True, epsilon=1.0)),
        (replace(PLAIN, noise=True), PLAIN),
        (replace(PLAIN, treated=1000), PLAIN),
        (replace(PLAIN, noise=True, shares=3), replace(PLAIN, noise=True)),
        (replace(PLAIN, noise=True, caps=(255,)), replace(PLAIN, noise=True)),
        (replace(PLAIN, noise=True, segments=5), replace(PLAIN, noise=True)),
        (replace(PLAIN, power=0.9), PLAIN),
        (replace(PLAIN, alpha=0.01), PLAIN),
    ],
)
def test_less_is_seen_where_it_must(weaker: Design, of: Design) -> None:
    assert lift_of(smallest_share_lift(weaker, 0.05)) > lift_of(smallest_share_lift(of, 0.05))


def test_one_segment_alone_sees_less_than_all_together() -> None:
    found = smallest_share_lift(replace(PLAIN, noise=True, segments=4), 0.1)
    assert found.in_segment == pytest.approx(2 * lift_of(found), rel=0.1)


def test_what_cannot_be_seen_is_none() -> None:
    found = smallest_share_lift(Design(100, 100, 0.05, k=20), 0.5)
    assert found.lift is None
    assert found.relative is None
    assert found.noise_part > 0.95


# --- sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_sizes_are_the_smallest_that_see_the_lift(epsilon: float) -> None:
    design = Design(1000, 2000, epsilon, k=100, segments=2)
    found = sizes_for_share_lift(design, 0.03, 0.01)
    assert found is not None
    assert found.control == 2 * found.treated
    enough = replace(design, treated=found.treated, control=found.control)
    assert lift_of(smallest_share_lift(enough, 0.03)) <= 0.01
    fewer = replace(design, treated=found.treated - 1, control=2 * found.treated - 2)
    assert lift_of(smallest_share_lift(fewer, 0.03)) > 0.01


def test_sizes_also_pass_the_threshold() -> None:
    """A lift so large that a handful would do: the threshold decides."""
    design = Design(1000, 1000, 1.0, k=100, segments=2)
    found = sizes_for_share_lift(design, 0.1, 0.8)
    assert found is not None
    assert found.treated > 2 * design.threshold
    at = replace(design, treated=found.treated, control=found.control)
    assert at.chance_shown >= 0.95
    assert replace(at, treated=found.treated - 2).chance_shown < 0.95


def test_a_value_s_sizes_see_its_lift() -> None:
    design = Design(1000, 1000, 0.5, shares=1, caps=(31, 255))
    found = sizes_for_value_lift(design, 20.0, 40.0, 2.0, which=1)
    assert found is not None
    at = replace(design, treated=found.treated, control=found.control)
    assert lift_of(smallest_value_lift(at, 20.0, 40.0, which=1)) <= 2.0
    assert sizes_for_share_lift(design, 0.9, 0.2) is None, "more than everybody"


# --- shown or suppressed ---------------------------------------------------------------------------------


def test_the_chance_to_be_shown_is_that_of_the_noise() -> None:
    for people in (150, 205, 211, 240):
        design = Design(people, 9999, 1.0, k=100, shares=2, caps=(255,))
        rng = np.random.default_rng(3)
        chance = 1 - math.exp(-1.0 * (1 / 3) / 2)
        noise = rng.geometric(chance, (40_000, 4)) - rng.geometric(chance, (40_000, 4))
        seen = np.mean(people + noise.sum(axis=1) >= design.threshold)
        assert design.chance_shown == pytest.approx(seen, abs=4.5 * 0.5 / math.sqrt(40_000))
    assert replace(design, treated=99, noise=False).chance_shown == 0.0
    assert replace(design, treated=100, noise=False).chance_shown == 1.0


# --- promised and kept -------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, sd: float, cells: int, draws: int) -> np.ndarray:
    """Noise of a figure of ``cells`` cells and standard deviation ``sd``: Laplace, as fine noise is."""
    return np.asarray(rng.laplace(0.0, sd / math.sqrt(2 * cells), (draws, cells)).sum(axis=1))


@pytest.mark.parametrize(
    ("design", "share"),
    [
        (Design(3000, 3000, 0.5), 0.1),
        (Design(20_000, 10_000, 0.1), 0.02),
        (Design(800, 900, 4.0), 0.3),
    ],
)
def test_the_smallest_share_lift_is_seen_in_four_of_five_cases(
    design: Design, share: float
) -> None:
    draws = 2500
    rng = np.random.default_rng(8)
    rise = lift_of(smallest_share_lift(design, share))
    sd, whole = design.sd("crowd", "share0"), design.sd("people")
    arms = []
    for n, p in ((design.treated, share + rise), (design.control, share)):
        yes, no = _noise(rng, sd, 1, draws), _noise(rng, sd, 1, draws)
        arms.append((n + yes + no, rng.binomial(n, p, draws) + yes))
    seen = 0
    for t, a, c, b in zip(*arms[0], *arms[1], strict=True):
        pooled = min(1.0, max(0.0, (a + b) / (t + c)))
        parts = [rate_of(Noised(n, whole), Noised(x, sd), pooled) for n, x in ((t, a), (c, b))]
        seen += p_value(a / t - b / c, parts[0].variance + parts[1].variance) < 0.05
    assert seen / draws == pytest.approx(0.8, abs=0.01 + 4.5 * 0.4 / math.sqrt(draws))


def test_the_smallest_value_lift_is_seen_in_four_of_five_cases() -> None:
    draws, mean, most = 2000, 10.0, 127
    design = Design(4000, 4000, 0.5, shares=0, caps=(most,))
    rng = np.random.default_rng(9)
    spread = 12.0
    rise = lift_of(smallest_value_lift(design, mean, spread))
    sds = design.sd("people"), design.sd("sum", "value0"), design.sd("square", "value0")
    found = []
    for n, m in ((design.treated, mean + rise), (design.control, mean)):
        # Gamma values of this mean and spread: sum and sum of squares of n of them.
        values = rng.gamma((m / spread) ** 2, spread**2 / m, (draws, n)).round().clip(0, most)
        figures = np.full(draws, n), values.sum(axis=1), (values**2).sum(axis=1)
        found.append([f + _noise(rng, sd, 1, draws) for f, sd in zip(figures, sds, strict=True)])
    seen = 0
    for i in range(draws):
        one, two = (
            mean_of(*(Noised(f[i], sd) for f, sd in zip(arm, sds, strict=True)), most) for arm in found
        )  # fmt: skip
        seen += p_value(one.mean - two.mean, one.variance + two.variance) < 0.05
    assert seen / draws == pytest.approx(0.8, abs=0.02 + 4.5 * 0.4 / math.sqrt(draws))


# --- designs that make no sense ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"treated": 0}, {"segments": 0}, {"shares": 0}, {"caps": (0,)}, {"caps": (65_536,)},
        {"alpha": 0.0}, {"power": 1.0}, {"shares": -1, "caps": (3,)},
    ],
)  # fmt: skip
def test_a_design_without_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Refusal) as refusal:
        replace(PLAIN, **change)  # type: ignore[arg-type]
    assert refusal.value.code == "power.design"
    assert refusal.value.remedy


def test_questions_without_sense_are_refused() -> None:
    for asked in (
        lambda: smallest_share_lift(PLAIN, 1.0),
        lambda: smallest_share_lift(replace(PLAIN, shares=0, caps=(9,)), 0.1),
        lambda: smallest_value_lift(PLAIN, 1.0, 1.0),
        lambda: smallest_value_lift(replace(PLAIN, caps=(9,)), 10.0, 1.0),
        lambda: sizes_for_share_lift(PLAIN, 0.1, 0.0),
    ):
        with pytest.raises(Refusal, match="cannot be reckoned"):
            asked()
    with pytest.raises(Refusal, match="below 20"):
        smallest_share_lift(replace(PLAIN, k=5), 0.1)
