"""A concentration as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hanse.measure.tables import number, people, percent
from hanse.places.concentration.estimates import Estimate
from hanse.tables import Table

if TYPE_CHECKING:
    from hanse.places.concentration.result import (
        Compared,
        ConcentrationResult,
        Extrapolated,
        Level,
        SiteList,
        TargetFigures,
    )

_LEVELS = {"place": "places", "h3": "H3 cells", "district": "districts", "city": "cities"}


def all_of(r: ConcentrationResult) -> tuple[Table, ...]:
    """All tables, most important first."""
    found = [_everybody(r)]
    for level in r.levels:
        found += [_ranked(level, t, r.top) for t in level.targets]
    found += [_spread(level, r.top) for level in r.levels if level.level in ("district", "city")]
    found += [_extrapolated(e) for e in r.extrapolated]
    if r.compared:
        found.append(_compared(r.compared))
    if r.sites is not None:
        found.append(_sites(r.sites))
    return tuple(found)


def _everybody(r: ConcentrationResult) -> Table:
    rows = [("base", _people(r.everybody, 0))]
    rows += [(name, _people(r.everybody, t)) for t, name in enumerate(r.names, start=1)]
    return Table("Everybody, wherever they are", ("group", "people"), tuple(rows), (1,))


def _ranked(level: Level, t: TargetFigures, top: int) -> Table:
    order = np.argsort(np.where(t.rank > 0, t.rank, t.rank.size + 1), kind="stable")
    best = [i for i in order[:top].tolist() if t.rank[i]]
    rows = tuple(
        (f"{t.rank[i]}", level.labels[i], _people(level.base, i), _people(t.people, i),
         _percent(t.share, i), _number(t.tgi, i))
        for i in best
    )  # fmt: skip
    ranked = int((t.rank > 0).sum())
    title = (
        f"{t.name}, {level.at}: {len(best)} of {len(level.ids):,} {_LEVELS[level.level]} by TGI "
        f"({len(level.ids) - ranked:,} suppressed or not ranked)"
    )
    heads = ("rank", level.level, "base", "target", "share", "TGI")
    return Table(title, heads, rows, (0, 2, 3, 4, 5))


def _spread(level: Level, top: int) -> Table:
    """How each target spreads over the areas."""
    order = np.argsort(-np.nan_to_num(level.base.value, nan=-1.0), kind="stable")[:top]
    rows = tuple(
        (level.labels[i], *(_percent(t.spread, i) or "suppressed" for t in level.targets))
        for i in order.tolist()
        if not np.isnan(level.base.value[i])
    )
    heads = (level.level, *(t.name for t in level.targets))
    title = f"Where each target group is, {level.at}: parts of all its people"
    return Table(title, heads, rows, tuple(range(1, len(heads))))


def _extrapolated(e: Extrapolated) -> Table:
    order = np.argsort(-e.people.value, kind="stable").tolist()
    rows = [(e.areas[i], _people(e.people, i)) for i in order]
    rows.append(("all of these", _people(e.whole, ())))
    title = (
        f"{e.target}, extrapolated to the population of {len(e.areas)} areas "
        f"({e.covered:,} of {e.given:,} people)"
    )
    return Table(title, ("area", "people"), tuple(rows), (1,))


def _compared(pairs: Iterable[Compared]) -> Table:
    rows = tuple(
        (c.target, c.first, c.second,
         f"{float(c.share.value) * 100:+.1f} ({float(c.share.low) * 100:+.1f} to {float(c.share.high) * 100:+.1f})",
         f"{float(c.people.value):+,.0f} ({float(c.people.low):+,.0f} to {float(c.people.high):+,.0f})")
        if np.isfinite(c.share.value)
        else (c.target, c.first, c.second, "suppressed", "suppressed")
        for c in pairs
    )  # fmt: skip
    heads = ("target", "site", "against", "share, % points", "target people")
    return Table("Candidate sites, in pairs", heads, rows, (3, 4))


def _sites(s: SiteList) -> Table:
    rows = [
        (f"{i + 1}", label, _people(s.people, i), _number(s.tgi, i),
         f"{s.prices[i]:,.0f}" if s.prices else "")
        for i, label in enumerate(s.labels)
    ]  # fmt: skip
    price = f"{sum(s.prices):,.0f}" if s.prices else ""
    rows.append(("", "all of these, overlap not deducted", _people(s.whole, ()), "", price))
    heads = ("", "site", "target people", "TGI", "price")
    return Table(f"Sites for {s.target}, {s.at}", heads, tuple(rows), (0, 2, 3, 4))


def notes(r: ConcentrationResult) -> tuple[str, ...]:
    """What a reader must know."""
    return tuple(_notes(r))


def _notes(r: ConcentrationResult) -> Iterator[str]:
    yield (
        "TGI: the target group's share of the base in the area, over its share of the base everywhere, times 100. "
        "Intervals are 95 %, privacy noise and sampling together; those of counts hold the noise alone."
    )
    hidden = sum(len(level.ids) - level.shown.size for level in r.levels)
    reason = r.levels[0].suppressed
    yield (
        f"{hidden:,} areas are suppressed: {reason}."
        if hidden
        else f"Nothing is told from fewer than {r.k} people."
    )
    left_out = {level.at: level.left_out for level in r.levels if level.left_out}
    for at, count in left_out.items():
        yield f"{count:,} places of sensitive types were left out ({at}): nobody is counted there."
    for level in r.levels:
        if level.slots > 1:
            yield (
                f"{level.at}, {_LEVELS[level.level]}: a person counts at up to {level.slots} of them, so areas "
                "do not add up to people."
            )
    if r.extrapolated:
        yield (
            "Extrapolation takes each area's population times the target's share of the base there. It assumes "
            "that within an area the base is like its population, and that figures of population and of the base "
            "mean the same people; areas that are suppressed or without a population are left out."
        )
    if r.sites is not None:
        yield (
            "Sites are taken one by one, best first. People who are at several of them count at each: the sum is "
            "contacts with places, not different people."
        )


def _people(e: Estimate, i: int | tuple[()]) -> str:
    value, low, high = (float(x[i]) for x in (e.value, e.low, e.high))
    return people(None) if not np.isfinite(value) else people(value, low, high)


def _percent(e: Estimate, i: int) -> str:
    value, low, high = (float(np.asarray(x)[i]) for x in (e.value, e.low, e.high))
    return "" if not np.isfinite(value) else percent(value, low, high)


def _number(e: Estimate, i: int) -> str:
    value, low, high = (float(x[i]) for x in (e.value, e.low, e.high))
    if not np.isfinite(value):
        return ""
    return number(value, low, high) if np.isfinite(high) else f"{value:,.0f} ({low:,.0f}–)"
