"""Pictures of a daily crowd, and what they are drawn from: of what this node published, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.contracts.crowds import CrowdClause
from hanse.errors import Refusal
from hanse.node.crowd_days.result import product_of, regimes_kept
from hanse.node.faces import crowd_days
from hanse.node.office import NodeOffice
from hanse.node.products.publications import Change
from hanse.places.feeds.feed import days_between
from hanse.places.scoreboard.pictures import contributions_svg, scoreboard_svg
from hanse.places.scoreboard.pictures_map import map_svg
from hanse.places.scoreboard.pictures_series import series_svg
from hanse.places.scoreboard.scoreboard import Contribution, contributions

F64 = NDArray[np.float64]
Document = dict[str, Any]
SERIES_DAYS = 60
EVERYBODY = "p30_last_known_days"
WITHOUT_SIGNALS = "p30_without_signals"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture as SVG, and its figures as plain values."""

    svg: str
    figures: Document


def map_of(office: NodeOffice, crowd: str, on: date | None = None, contract: str = "") -> Drawn:
    """The newest figures of a day (yesterday), place by place on H3 cells.

    `Refusal` ``crowd.untold`` if this node was told nothing of the day.
    """
    found, clause = crowd_days.contract_with(office, crowd, contract)
    when = on or crowd_days.yesterday()
    places = office.library().gazetteer(found, clause.gazetteer)
    told = {
        c.figure.place: c for c in office.store.publications.day(product_of(found, clause), when)
    }
    if not told:
        raise _untold(office, clause, f"of {when}")
    regimes = regimes_kept(office.desk.crowd_desk.folder, found, clause).of(when)
    changes = [told.get(place) for place in places.ids]
    point, _, _, confidence = (_column(changes, name) for name in _NUMBERS)
    title = f"{clause.name}: people on {when}"
    svg = map_svg(title, places, point, confidence, np.isfinite(point))
    rows = [
        {"place": place, "name": places.names[n], "lat": float(places.lat[n]), "lon": float(places.lon[n]),
         "h3": places.h3[n], "regime": regimes.get(place, ""), **_row(changes[n])}
        for n, place in enumerate(places.ids)
    ]  # fmt: skip
    return Drawn(svg, {"crowd": clause.name, "on": when.isoformat(), "places": rows})


def series_of(
    office: NodeOffice, crowd: str, place: str, ends: date | None = None, days: int = SERIES_DAYS,
    contract: str = "",
) -> Drawn:  # fmt: skip
    """A place over time, as it was last told of each day, with the days ahead; at an owner also what turned out.

    `Refusal` ``crowd.place`` or ``crowd.untold``.
    """
    found, clause = crowd_days.contract_with(office, crowd, contract)
    places = office.library().gazetteer(found, clause.gazetteer)
    if place not in places.position:
        raise Refusal("crowd.place", f"{place[:64]!r} is no place of {clause.gazetteer!r}",
                      remedy="name one as 'hanse crowd-days show' lists them")  # fmt: skip
    end = ends or crowd_days.yesterday()
    dates = days_between(end - timedelta(days=days - 1), end + timedelta(days=clause.days_ahead))
    first, last = (d.astype(object) for d in (dates[0], dates[-1]))
    by_day = {c.figure.date: c for c in
              office.store.publications.days(product_of(found, clause), place, first, last)}  # fmt: skip
    if not by_day:
        raise _untold(office, clause, f"of {place!r} from {first} to {last}")
    dates = dates[dates >= np.datetime64(min(by_day))]
    changes = [by_day.get(d) for d in dates.tolist()]
    point, low, high = (_column(changes, name) for name in _NUMBERS[:3])
    truth = _truth_of(office, found, clause, place, dates)
    title = f"{places.names[places.position[place]]}, people a day ({clause.name})"
    svg = series_svg(title, dates, point, low, high, np.isfinite(point), truth, np.datetime64(end))
    rows = [{"date": str(d), **_row(changes[n]), "truth": None if np.isnan(truth[n]) else float(truth[n])}
            for n, d in enumerate(dates.tolist())]  # fmt: skip
    return Drawn(svg, {"crowd": clause.name, "place": place, "ends": end.isoformat(), "days": rows})


def scoreboard_of(
    office: NodeOffice, crowd: str, ends: date | None = None, contract: str = ""
) -> tuple[crowd_days.Board, Drawn]:
    """P30 of the last 90 days, by regime, size, weekday, category, area and day. `Refusal` ``crowd.owner``."""
    board = crowd_days.board(office, crowd, ends, contract)
    return board, Drawn(scoreboard_svg(board.scores, label=board.crowd), board.scores.body())


def contributions_of(office: NodeOffice, crowd: str, contract: str = "") -> Drawn:
    """What holders' signals add to P30, by the newest model of this owner. `Refusal` ``crowd.untrained``."""
    found, clause = crowd_days.contract_with(office, crowd, contract)
    desk = office.desk.crowd_desk
    card = desk.shelf.document(desk.model(clause, found).job)["card"]
    metrics = card["metrics"]
    parties: tuple[Contribution, ...] = ()
    if WITHOUT_SIGNALS in metrics:
        who = "signals of " + ", ".join(clause.signal_parties(found))
        parties = contributions(metrics[EVERYBODY], {who: metrics[WITHOUT_SIGNALS]})
    rows = [
        {"party": c.party, "p30": c.p30, "without": c.without, "points": c.points} for c in parties
    ]
    return Drawn(contributions_svg(parties), {"crowd": clause.name, "parties": rows})


_NUMBERS = ("value", "low", "high", "confidence")


def _column(changes: list[Change | None], name: str) -> F64:
    values = [None if one is None else getattr(one.figure, name) for one in changes]
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _row(change: Change | None) -> Document:
    if change is None:
        return {**dict.fromkeys(_NUMBERS), "version": 0, "reason": "nothing was told"}
    figure = change.figure
    return {
        **{name: getattr(figure, name) for name in _NUMBERS},
        "version": change.version,
        "reason": figure.reason,
    }


def _truth_of(
    office: NodeOffice,
    contract: Contract,
    clause: CrowdClause,
    place: str,
    dates: NDArray[np.datetime64],
) -> F64:
    """[days]: an owner's own counts; at others none."""
    if office.party not in clause.owner_parties(contract):
        return np.full(dates.size, np.nan)
    feed = crowd_days.truth_of(office, contract, clause, dates[-1])
    known: F64 = feed.over([place]).known(dates[-1], dates)[0]
    return known


def _untold(office: NodeOffice, clause: CrowdClause, what: str) -> Refusal:
    return Refusal("crowd.untold", f"{office.party} was told nothing of {clause.name!r} {what}",
                   remedy="tell the day first: hanse crowd-days day " + clause.name)  # fmt: skip


__all__ = ["Drawn", "contributions_of", "map_of", "scoreboard_of", "series_of"]
