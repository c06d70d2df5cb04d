"""Made-up populations of known lift, drawn again and again and released with the true law of the noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from random_lifts import ENDS, STARTS, contract_of, of_arm

from hanse.measure.lift import protocol as lift
from hanse.measure.lift import reading as lift_reading
from hanse.measure.lift.protocol import LiftPlan, LiftQuestion
from hanse.measure.lift.result import STANDARDISED, LiftResult, LiftRow


@dataclass(frozen=True)
class World:
    """People per arm and segment; per arm and segment the chance of two outcomes, and a population of values."""

    people: NDArray[np.int64]  # [2, segments]
    chances: NDArray[np.float64]  # [2 outcomes, 2 arms, segments]
    values: Callable[[int, int, int, np.random.Generator], NDArray[np.int64]]  # arm, segment, size
    means: NDArray[np.float64]  # [2, segments] of the values


def plan_of(epsilon: float, *, segments: bool, most: int, noise: bool = True) -> LiftPlan:
    """Two arms, two 0/1 outcomes, one value."""
    parameters = {
        "arms": [{"name": "control", **of_arm("a")}, {"name": "treated", **of_arm("b")}],
        "control": "control",
        "outcomes": [
            {"name": "visited", "dataset": "visits"},
            {"name": "joined", "dataset": "members"},
            {"name": "spent", "dataset": "orders", "column": "amount", "most": most},
        ],
        "starts": STARTS, "ends": ENDS,
        **({"by": {"dataset": "letters", "column": "age"}} if segments else {}),
    }  # fmt: skip
    return lift.plan(LiftQuestion.read(parameters), contract_of(), epsilon=epsilon, noise=noise)


def shop(bought: float, typical: float, most: int) -> Callable[..., NDArray[np.int64]]:
    """Values of people of whom few buy, some of them a lot; treated ones a quarter more often."""

    def values(arm: int, segment: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        chance = bought * (1 + 0.25 * arm) * (1 + 0.5 * segment)
        amounts = np.round(typical * rng.lognormal(0.0, 0.7, size))
        return np.where(rng.random(size) < chance, np.minimum(amounts, most), 0).astype(np.int64)

    return values


def world(
    people: int, chance: float, values: Callable[..., NDArray[np.int64]], segments: int
) -> World:
    """``people`` per arm, unevenly in segments; the first outcome is lifted by a fifth, the second not."""
    split = np.array([1.0]) if segments == 1 else np.array([0.2, 0.5, 0.3])
    sizes = np.stack([np.round(people * split), np.round(people * split[::-1])]).astype(np.int64)
    rising = chance * (1 + 0.5 * np.arange(segments))
    chances = np.stack([np.stack([rising, 1.2 * rising]), np.stack([rising / 2, rising / 2])])
    rng = np.random.default_rng(99)
    means = [[values(a, s, 1_000_000, rng).mean() for s in range(segments)] for a in range(2)]
    return World(sizes, chances, values, np.array(means))


def drawn(p: LiftPlan, w: World, rng: np.random.Generator) -> LiftResult:
    """One sample of the world, as its recipient would read it."""
    counts, sums, squares = [], [], []
    for arm in range(2):
        for segment in range(w.people.shape[1]):
            n = int(w.people[arm, segment])
            a, b = w.chances[:, arm, segment]
            law = [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]
            counts += rng.multinomial(n, law).tolist()
            values = w.values(arm, segment, n, rng)
            sums.append(int(values.sum()))
            squares.append(int((values**2).sum()))
    cells = np.array([*counts, 0, *sums, *squares], np.int64)  # nobody is in two arms
    if p.release.noise:
        cells += noise_of(p, rng)
    values = p.release.sums.apply(cells)
    published = values[p.release.guarded] >= p.release.thresholds()
    return lift_reading.result(p, values, published)


def noise_of(p: LiftPlan, rng: np.random.Generator) -> NDArray[np.int64]:
    """Discrete Laplace values, block by block."""
    parts: list[Any] = []
    for block in p.release.blocks:
        chance = -np.expm1(-p.release.cell_epsilon(block))
        parts.append(rng.geometric(chance, block.cells) - rng.geometric(chance, block.cells))
    return np.concatenate(parts)


def truths(p: LiftPlan, w: World) -> Iterator[tuple[str, str, float, float]]:
    """(outcome, segment, mean of the control, mean of the treated) of each comparison."""
    names = p.segments
    for outcome, means in (
        ("visited", w.chances[0]), ("joined", w.chances[1]), ("spent", w.means),
    ):  # fmt: skip
        for place, name in enumerate(names):
            yield outcome, name, float(means[0, place]), float(means[1, place])
        if len(names) > 1:
            for name, sizes in (("all", w.people), (STANDARDISED, w.people[[1, 1]])):
                both = (means * sizes).sum(axis=1) / sizes.sum(axis=1)
                yield outcome, name, float(both[0]), float(both[1])


def coverage(p: LiftPlan, w: World, draws: int, seed: int) -> dict[tuple[str, str, str], float]:
    """Share of 95 % intervals that hold the truth, by (outcome, segment, figure).

    Figures that are suppressed now and then are left out: what is shown of them was drawn high.
    """
    rng = np.random.default_rng(seed)
    held: Counter[tuple[str, str, str]] = Counter()
    told: Counter[tuple[str, str, str]] = Counter()
    known = list(truths(p, w))
    for _ in range(draws):
        result = drawn(p, w, rng)
        for outcome, segment, control, treated in known:
            row = result.row(outcome, "treated", segment)
            for figure, low, high, truth in _figures(row, control, treated):
                told[outcome, segment, figure] += 1
                held[outcome, segment, figure] += low <= truth <= high
    return {key: held[key] / told[key] for key in told if told[key] >= 0.99 * draws}


def _figures(
    row: LiftRow, control: float, treated: float
) -> Iterator[tuple[str, float, float, float]]:
    if row.difference_low is None or row.difference_high is None:
        return
    yield "mean", row.mean_low, row.mean_high, treated  # type: ignore[misc]
    yield "difference", row.difference_low, row.difference_high, treated - control
    if row.relative is not None:
        # Where the control came out as nothing there is no ratio; that is rare but where noise drowns everything.
        high = np.inf if row.relative_high is None else row.relative_high
        yield "relative", row.relative_low, high, treated / control - 1  # type: ignore[misc]
