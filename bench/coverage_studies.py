"""The populations on which `coverage.py` judges intervals: a law, a question, and which figure claims what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coverage_ground import (
    EPSILON,
    PERIOD,
    Cells,
    Figure,
    Random,
    Study,
    compared,
    contract,
    counted,
    exactly,
    multinomial,
    planned,
)
from hanse.catalog.gazetteers import from_table
from hanse.contracts import Library
from hanse.menu import entry
from hanse.places.concentration import example as concentration_example

# --- reach and frequency ----------------------------------------------------------------------------

_FREQUENCY = np.array([0.45, 0.2, 0.12, 0.08, 0.06, 0.05, 0.04])  # 0 to 6 and more, of a universe
_AGES = np.array([0.1, 0.4, 0.5])
_FIRST = np.array([0.3, 0.17, 0.08])


def _reach_study(figures: Callable[[Any, Cells], Iterator[Figure]]) -> Study:
    plan = planned(
        "reach", exposures=[{"dataset": n} for n in ("tv", "web", "radio")], most_frequency=6,
        universe={"dataset": "panel"}, by={"dataset": "panel", "column": "age"},
    )  # fmt: skip
    law = np.outer(_AGES, _FREQUENCY)

    def draw(random: Random) -> tuple[Cells, Cells]:
        people = multinomial(20_000, law.reshape(-1) * (1 - 1e-12), random)
        reached = int(people.reshape(law.shape)[:, 1:].sum())
        first = random.multinomial(reached, _FIRST / _FIRST.sum()).astype(np.int64)
        cells = np.concatenate([people, first])
        return cells, plan.release.sums.apply(cells)

    return Study(plan, entry("reach").read, draw, figures)


def reach() -> Study:
    """k+ reach, added reach, their shares; by age."""

    def figures(result: Any, exact: Cells) -> Iterator[Figure]:
        wanted = [row.kind != "frequency" for row in result.rows]
        rows = [row for row, there in zip(result.rows, wanted, strict=True) if there]
        yield from counted(
            rows, exact[wanted], lambda r: f"{r.kind} {r.times} {r.segment} {r.exposure}"
        )
        parts = _FIRST.cumsum() / _FIRST.sum()
        for place, row in enumerate(result.of("together")[:-1]):
            if row.part is not None:
                yield Figure(f"part {row.exposure}", row.part_low, row.part_high, parts[place])
        for row in rows:
            if row.kind == "reach" and row.share is not None:
                truth = _FREQUENCY[row.times :].sum()
                yield Figure(
                    f"share {row.times} {row.segment}", row.share_low, row.share_high, truth
                )

    return _reach_study(figures)


def frequency() -> Study:
    """The histogram and the average frequency; by age."""

    def figures(result: Any, exact: Cells) -> Iterator[Figure]:
        wanted = [row.kind == "frequency" for row in result.rows]
        rows = [row for row, there in zip(result.rows, wanted, strict=True) if there]
        yield from counted(rows, exact[wanted], lambda r: f"frequency {r.times} {r.segment}")
        for average in result.averages:
            if average.value is not None:
                levels = np.minimum(np.arange(1, 7), average.most)
                truth = (levels * _FREQUENCY[1:]).sum() / _FREQUENCY[1:].sum()
                yield Figure(
                    f"average {average.segment} up to {average.most}",
                    average.low,
                    average.high,
                    truth,
                )

    return _reach_study(figures)


# --- overlap ----------------------------------------------------------------------------------------


def overlap() -> Study:
    """Three crowds: regions, crowds, pairs, reach in order, shared parts."""
    plan = planned("overlap", crowds=[{"name": n, "dataset": n} for n in ("tv", "web", "radio")])
    law = np.array([0.3, 0.12, 0.09, 0.1, 0.06, 0.05, 0.04])  # regions 1 to 7

    def draw(random: Random) -> tuple[Cells, Cells]:
        cells = multinomial(20_000, law, random)
        return cells, plan.release.sums.apply(cells)

    def figures(result: Any, exact: Cells) -> Iterator[Figure]:
        yield from counted(result.rows, exact, lambda r: f"{r.kind} {r.crowd}")
        region = np.arange(1, 8)
        for part in result.parts:
            one, other = (region >> result.names.index(n) & 1 for n in (part.crowd, part.other))
            if part.rate is not None:
                truth = law[(one & other) == 1].sum() / law[one == 1].sum()
                yield Figure(f"{part.crowd} in {part.other}", part.low, part.high, truth)

    return Study(plan, entry("overlap").read, draw, figures)


# --- funnel -----------------------------------------------------------------------------------------


def funnel() -> Study:
    """Three stages, two arms, by age."""
    names = ("tv", "web", "shop")
    plan = planned(
        "funnel", stages=[{"name": n, "any_of": [{"dataset": n}]} for n in names],
        by={"dataset": "panel", "column": "age"}, compare_with="panel",
    )  # fmt: skip
    furthest = np.array([[0.6, 0.28, 0.12], [0.75, 0.17, 0.08]])  # by arm
    law = 0.5 * np.einsum("s,af->asf", _AGES, furthest)  # the cells: arm, segment, furthest stage

    def draw(random: Random) -> tuple[Cells, Cells]:
        cells = multinomial(30_000, law.reshape(-1) * (1 - 1e-12), random)
        return cells, plan.release.sums.apply(cells)

    arms = ("exposed", "not exposed")
    reached = furthest[:, ::-1].cumsum(axis=1)[:, ::-1]

    def figures(result: Any, exact: Cells) -> Iterator[Figure]:
        yield from counted(result.rows, exact, lambda r: f"{r.arm} {r.segment} {r.stage}")
        place = 0
        for row in result.rows:
            place = 0 if row.stage in (names[0], "not exposed") else place + 1
            told = f"{row.arm} {row.segment} {row.stage}"
            arm = reached[arms.index(row.arm)]
            if row.rate is not None:
                yield Figure(
                    f"rate {told}", row.rate_low, row.rate_high, arm[place] / arm[place - 1]
                )
            if row.overall is not None:
                yield Figure(f"overall {told}", row.overall_low, row.overall_high, arm[place])

    return Study(plan, entry("funnel").read, draw, figures)


def journey() -> Study:
    """The report's funnel for everybody and by age, exposed against not exposed, with uplift."""
    plan = planned(
        "journey", campaign="spring", offline=[{"dataset": "tv"}], stores=[{"dataset": "web"}],
        payments=[{"dataset": "shop"}], compare_with="panel", by=[{"dataset": "panel", "column": "age"}],
    )  # fmt: skip
    furthest = np.array([[0.6, 0.28, 0.12], [0.75, 0.17, 0.08]])
    law = 0.5 * np.einsum("s,af->asf", _AGES, furthest)

    def cells(people: Cells) -> Cells:
        return np.concatenate([people.sum(axis=1).reshape(-1), people.reshape(-1)])

    parameters = exactly("journey", plan, cells(np.round(law * 1e10).astype(np.int64)))

    def draw(random: Random) -> tuple[Cells, Any]:
        found = cells(multinomial(40_000, law.reshape(-1) * (1 - 1e-12), random).reshape(law.shape))
        return found, exactly("journey", plan, found)

    def figures(result: Any, exact: Any) -> Iterator[Figure]:
        people = np.array([row.people for row in exact.rows], np.int64)
        yield from counted(
            result.rows, people, lambda r: f"{r.breakdown} {r.arm} {r.segment} {r.stage}"
        )
        yield from compared(result.rows, exact.rows, parameters.rows, set())

    return Study(plan, entry("journey").read, draw, figures)


# --- attribution ------------------------------------------------------------------------------------


def attribution() -> Study:
    """Conversions and their value shared out over three channels. All intervals claim the noise only."""
    plan = planned(
        "attribution", model="linear", touches=[{"dataset": n, "name": n} for n in ("tv", "web", "radio")],
        conversions={"dataset": "shop", "value": "amount", "value_unit": 10, "value_maximum": 500, "slots": 2},
    )  # fmt: skip
    law, whole = np.array([0.4, 0.3, 0.2, 0.1]), plan.whole  # by channel, then unattributed

    def draw(random: Random) -> tuple[Cells, Any]:
        credited = random.multinomial(12_000 * whole, law)
        rounded = random.integers(0, 3 * 12_000)  # what sharing out left over
        conversions = [*credited, rounded]
        people = [*random.binomial(12_000, law * 0.8), 11_000]
        worth = [int(c * random.uniform(15, 18)) for c in conversions]
        cells = np.array([*people, *conversions, *worth], np.int64)
        return cells, exactly("attribution", plan, cells)

    drawn = {"people", "conversions", "value"}
    return Study(
        plan, entry("attribution").read, draw,
        lambda result, exact: compared(result.rows, exact.rows, exact.rows, drawn),
    )  # fmt: skip


# --- lift -------------------------------------------------------------------------------------------

_ARMS = ("letter", "nothing")
_VISITS = np.array([[0.16, 0.22, 0.30], [0.12, 0.17, 0.26]])  # by arm and segment
_SPENT = np.arange(64)  # what a person may have spent, in the outcome's units


def _spending() -> NDArray[np.float64]:
    """The law of spending [arms, units]: most spend nothing, the rest about log-normally."""
    laws = []
    for buyers, centre in ((0.35, 2.6), (0.30, 2.5)):
        tail = np.exp(-0.5 * ((np.log(_SPENT[1:]) - centre) / 0.7) ** 2) / _SPENT[1:]
        laws.append(np.concatenate([[1 - buyers], buyers * tail / tail.sum()]))
    return np.array(laws)


def lift() -> Study:
    """A randomised letter: visits and spending, over all people and age by age."""
    arms = [
        {"name": name, "dataset": "web", "where": [{"column": "kind", "equals": kind}]}
        for name, kind in zip(_ARMS, ("a", "b"), strict=True)
    ]
    plan = planned(
        "lift", arms=arms, control=_ARMS[1], randomised=True, by={"dataset": "panel", "column": "age"},
        outcomes=[{"name": "visits", "dataset": "radio"},
                  {"name": "spent", "dataset": "shop", "column": "amount", "most": int(_SPENT[-1])}],
    )  # fmt: skip
    law, spending = np.outer([0.4, 0.4], _AGES), _spending()

    def draw(random: Random) -> tuple[Cells, Cells]:
        people = multinomial(20_000, law.reshape(-1), random).reshape(law.shape)
        visits = random.binomial(people, _VISITS)
        spent = np.array(
            [
                [random.multinomial(n, s) for n in row]
                for row, s in zip(people, spending, strict=True)
            ]
        )
        cells = [
            np.stack([people - visits, visits], axis=2).reshape(-1), np.zeros(1),  # nobody is in two arms
            (spent @ _SPENT).reshape(-1), (spent @ _SPENT**2).reshape(-1),
        ]  # fmt: skip
        return np.concatenate(cells).astype(np.int64), people

    return Study(
        plan,
        entry("lift").read,
        draw,
        lambda result, people: _lifts(plan, result, people, spending),
    )


def _lifts(
    plan: Any, result: Any, people: Cells, spending: NDArray[np.float64]
) -> Iterator[Figure]:
    means = {"visits": _VISITS, "spent": np.repeat(spending @ _SPENT, len(_AGES)).reshape(2, -1)}
    for row in result.rows:
        place = plan.segments.index(row.segment) if row.segment in plan.segments else None
        arm = _ARMS.index(row.arm)
        # Standardised: over the segments of the treated people who are there; else over the law's.
        weights = people[0] / people[0].sum() if row.segment == "standardised" else _AGES
        of = [float(m[place] if place is not None else weights @ m) for m in means[row.outcome]]
        size = people[arm, place] if place is not None else people[arm].sum()
        told = f"{row.outcome} {row.segment} {row.arm}"
        truths = {
            "people": size, "mean": of[arm], "difference": of[0] - of[1], "relative": of[0] / of[1] - 1,
            "incremental": (of[0] - of[1]) * size,
        }  # fmt: skip
        for name, truth in truths.items():
            low = getattr(row, f"{name}_low")
            if low is not None:
                high = getattr(row, f"{name}_high")
                # A ratio to a control that may be nothing has no upper end.
                yield Figure(f"{name} {told}", low, np.inf if high is None else high, float(truth))


# --- portrait ---------------------------------------------------------------------------------------

_WHO = np.array([0.2, 0.1, 0.6])  # in the crowd alone, in both, in the base alone
_AGES_OF = np.array([[0.1, 0.5, 0.4], [0.1, 0.4, 0.5], [0.1, 0.3, 0.6]])  # unknown, young, old
# By age.
_KINDS_OF = np.array([[0.2, 0.4, 0.25, 0.15], [0.2, 0.3, 0.3, 0.2], [0.2, 0.15, 0.3, 0.35]])


def portrait() -> Study:
    """A crowd against a base that overlaps it, by two labels of two organisations, and across."""
    question = {
        "crowd": {"dataset": "web"}, "base": {"dataset": "tv"},
        "labels": [{"name": "age", "dataset": "panel", "column": "age"},
                   {"name": "kind", "dataset": "radio", "column": "kind"}],
        "cross": [["age", "kind"]],
    }  # fmt: skip
    plan = planned("portrait", **question)
    law = _WHO[:, None, None] * _AGES_OF[:, :, None] * _KINDS_OF[None]

    def cells(people: Cells) -> Cells:
        cross = people[:2, 1:, 1:].sum(axis=0)
        return np.concatenate(
            [people.sum(axis=2).reshape(-1), people.sum(axis=1).reshape(-1), cross.reshape(-1)]
        )

    parameters = exactly("portrait", plan, cells(np.round(law * 1e11).astype(np.int64)))

    def draw(random: Random) -> tuple[Cells, Any]:
        found = cells(multinomial(30_000, law.reshape(-1), random).reshape(law.shape))
        return found, exactly("portrait", plan, found)

    drawn = {"crowd", "base", "known", "unknown", "people"}

    def figures(result: Any, exact: Any) -> Iterator[Figure]:
        for part in ("rows", "known", "crosses"):
            rows, counts, law_rows = (getattr(r, part) for r in (result, exact, parameters))
            yield from compared(rows, counts, law_rows, drawn)

    return Study(plan, entry("portrait").read, draw, figures)


# --- concentration ----------------------------------------------------------------------------------

# Sets of targets, by kind of place.
_SETS_AT = 0.01 * np.array([[76, 11, 8, 5], [64, 20, 10, 6], [58, 14, 18, 10]])


def concentration() -> Study:
    """Two target groups at homes: places, districts, extrapolated, compared."""
    town = from_table(concentration_example.town(), "town")
    found = contract(gazetteer=town)
    question = {
        **PERIOD,
        "targets": {"one": {"dataset": "web"}, "two": {"dataset": "radio"}}, "base": {"dataset": "panel"},
        "at": [{"name": "home", "dataset": "panel", "column": "home"}], "levels": ["place", "district"],
        "compare": ["p00", "p01"],
        "population": {"level": "district", "people": {"district 0": 90_000, "district 1": 50_000}},
    }  # fmt: skip
    plan = entry("concentration").planned(question, found, EPSILON, True, Library.of(town))
    places = len(plan.breakdowns[0].names)
    at = np.linspace(0.6, 1.4, places + 1) / (places + 1)  # nowhere, then the places
    law = at[:, None] * _SETS_AT[np.arange(places + 1) % len(_SETS_AT)]

    def cells(people: Cells) -> Cells:
        levels = []
        for b in plan.breakdowns:
            level = np.zeros((len(b.names), people.shape[1]), np.int64)
            np.add.at(level, b.area, people[1:])
            levels.append(level.reshape(-1))
        return np.concatenate([people.sum(axis=0), *levels])

    parameters = exactly("concentration", plan, cells(np.round(law * 1e11).astype(np.int64)))

    def draw(random: Random) -> tuple[Cells, Any]:
        drawn = cells(multinomial(60_000, law.reshape(-1) * (1 - 1e-12), random).reshape(law.shape))
        return drawn, exactly("concentration", plan, drawn)

    return Study(
        plan, entry("concentration").read, draw,
        lambda result, exact: _concentrations(result, exact, parameters),
    )  # fmt: skip


def _concentrations(result: Any, exact: Any, law: Any) -> Iterator[Figure]:
    for (name, estimate, drawn), (_, counts, _), (_, parameters, _) in zip(
        *(list(_estimates(r)) for r in (result, exact, law)), strict=True
    ):
        truth = counts if drawn else parameters
        for i in range(np.size(estimate.value)):
            value, low, high, true = (
                float(np.ravel(x)[i])
                for x in (estimate.value, estimate.low, estimate.high, truth.value)
            )
            if np.isfinite([value, low, high]).all():
                yield Figure(f"{name} {i}", low, high, true)


def _estimates(result: Any) -> Iterator[tuple[str, Any, bool]]:
    """(name, estimate, whether it claims the noise only)."""
    yield "everybody", result.everybody, True
    for level in result.levels:
        yield f"{level.level} base", level.base, True
        for t in level.targets:
            yield f"{level.level} {t.name}", t.people, True
            for kind in ("share", "tgi", "spread"):
                yield f"{level.level} {t.name} {kind}", getattr(t, kind), False
    for e in result.extrapolated:
        yield f"extrapolated {e.target}", e.people, False
        yield f"extrapolated {e.target} in all", e.whole, False
    for c in result.compared:
        yield f"compared {c.target} share", c.share, False
        yield f"compared {c.target} people", c.people, True


STUDIES: dict[str, Callable[[], Study]] = {
    "reach": reach,
    "frequency": frequency,
    "overlap": overlap,
    "funnel": funnel,
    "journey": journey,
    "attribution": attribution,
    "lift": lift,
    "portrait": portrait,
    "concentration": concentration,
}
