"""Published products for people: what there is, a day of all places, one place over time, a map, a scoreboard.

The figures are those of `hanse.node.products.publications`: never rewritten, with their intervals. A scoreboard
holds what was said first against a truth that somebody brings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import and_, select

from hanse.catalog.gazetteers import Gazetteer
from hanse.clock import Clock
from hanse.errors import HanseError, Refusal
from hanse.node.faces.uploads import uploaded
from hanse.node.office import NodeOffice, bundle_of
from hanse.node.products.publications import Change, Figure, Product
from hanse.node.products.publishing import read_figures
from hanse.node.storage import tables
from hanse.places.scoreboard import scoreboard as boards

Document = dict[str, Any]
MOST_ON_MAP = 4000
MOST_DAYS = 800
DAYS_LISTED = 120
_MOST_TRUTH = 200_000
MOST_UPLOADED = 200_000


def products(office: NodeOffice) -> list[Document]:
    """Every product: title, unit, contract, whether synthetic, how often and when it was published last."""
    return [_row(p) for p in office.store.publications.products()]


def product(office: NodeOffice, name: str) -> Document:
    """One product and its last days, the newest first: of how many places a figure is published, or withheld."""
    found = _find(office, name)
    days = [
        {"date": day, "published": published, "abstained": abstained}
        for day, published, abstained in office.store.publications.dates(name, DAYS_LISTED)
    ]
    return {**_row(found), "days": days}


def day(office: NodeOffice, name: str, on: str) -> list[Document]:
    """The newest figure of every place on a day, with the place's name where a list of places has it."""
    _find(office, name)
    found = list(office.store.publications.day(name, _day(on)))
    places = _places(office, name, [c.figure.place for c in found])
    rows = [_named(c, places) for c in found]
    return sorted(rows, key=lambda r: (r["value"] is None, -(r["value"] or 0), r["place"]))


def series(office: NodeOffice, name: str, place: str) -> Document:
    """One place over time, the newest version of each day, the last `MOST_DAYS`."""
    _find(office, name)
    found = office.store.publications.days(name, place)[-MOST_DAYS:]
    if not found:
        raise Refusal("place.unknown", f"{name} has no figures of that place",
                      remedy="take an id of a place that it has")  # fmt: skip
    places = _places(office, name, [place])
    return {"place": place, "label": _named(found[-1], places)["label"],
            "rows": [_named(c, places) for c in found]}  # fmt: skip


def history(office: NodeOffice, name: str, place: str, on: str) -> list[Document]:
    """Every version of one place and day, oldest first."""
    _find(office, name)
    return [c.body() for c in office.store.publications.history(name, place, _day(on))]


def on_map(rows: list[Document], most: int = MOST_ON_MAP) -> list[Document]:
    """The places of a day that a list of places knows, the largest crowds first."""
    return [r for r in rows if r["lat"] is not None and r["value"] is not None][:most]


def scoreboard(office: NodeOffice, name: str, file_name: str, data: bytes) -> Document:
    """How good the product was: what was said first of each place and day, against a truth.

    ``data`` is a CSV or Parquet file with the columns place, date, value. The truth is not kept. Raises what
    reading it raises, and `Refusal` ``scoreboard.none`` if it is about no place and day of the product.
    """
    _find(office, name)
    truth = {
        (f.place, f.date.isoformat()): f.value
        for f in _read(file_name, data, _MOST_TRUTH)
        if f.value is not None
    }
    first = _first_words(office, name, sorted({d for _, d in truth}))
    both = sorted(set(truth) & set(first))
    if not both:
        raise Refusal("scoreboard.none", f"the truth is about no place and day of {name}",
                      remedy="compare the ids of places and the dates")  # fmt: skip
    ids, dates = sorted({p for p, _ in both}), sorted({d for _, d in both})
    known = np.full((len(ids), len(dates)), np.nan)
    parts = {part: known.copy() for part in ("point", "low", "high", "confidence")}
    at = {p: i for i, p in enumerate(ids)}, {d: j for j, d in enumerate(dates)}
    for place, on in both:
        cell = at[0][place], at[1][on]
        known[cell] = truth[place, on]
        for part, value in zip(parts, first[place, on], strict=True):
            parts[part][cell] = math.nan if value is None else value
    published = np.isfinite(parts["point"])
    # Nobody knows what would have been said of a withheld place and day: it counts for the share alone.
    parts["point"][np.isfinite(known) & ~published] = 0.0
    days = np.array(dates, "datetime64[D]")
    told = boards.Told(tuple(ids), days, **parts, published=published)
    divisions = [boards.by_size(known, min(10, len(ids))), boards.by_weekday(days, len(ids))]
    places = _places(office, name, ids)
    if places is not None:
        divisions.append(boards.by_name("type", [_type(places, i) for i in ids]))
    body = boards.scoreboard(told, known, divisions).body()
    body["scores"] = [{**score, "p30": None} for score in body["scores"]]
    return {
        **body,
        "places": len(ids),
        "days": len(dates),
        "without_figures": len(truth) - len(both),
    }


def publish(
    office: NodeOffice, clock: Clock, name: str, about: Document, figures: Sequence[Figure]
) -> Document:
    """Publish figures per place and day: {"product", "figures", "changed"}; in the ledger.

    What ``about`` leaves empty (title, unit, contract) stays as it was. Raises `Refusal` ``product.*`` or
    ``contract.unknown``.
    """
    if not figures:
        raise Refusal("product.none", "there are no figures to publish",
                      remedy="give at least one place and day")  # fmt: skip
    told = _about(office, name, about)
    changed = office.store.publications.publish(name, told, figures, clock.now())
    body = {"product": name, "figures": len(figures), "changed": changed}
    office.ledger.append("publication", body)
    return body


def publish_file(
    office: NodeOffice, clock: Clock, name: str, about: Document, file_name: str, data: bytes
) -> Document:
    """`publish` the figures of an uploaded CSV or Parquet file, at most `MOST_UPLOADED`; also ``publish.*``."""
    return publish(office, clock, name, about, _read(file_name, data, MOST_UPLOADED))


def _about(office: NodeOffice, name: str, about: Document) -> Document:
    known = next((p for p in office.store.publications.products() if p.name == name), None)
    before = {} if known is None else known.about
    synthetic = bool(about.get("synthetic"))
    if known is not None and bool(before.get("synthetic")) != synthetic:
        said = "made up" if before.get("synthetic") else "not made up"
        raise Refusal("product.synthetic", f"the figures of {name} are {said}, and these are not of that kind",
                      remedy="publish them under another name: the two are never mixed")  # fmt: skip
    found = {
        key: str(about.get(key) or before.get(key) or "").strip()
        for key in ("title", "unit", "contract")
    }
    if any(len(text) > 200 or not text.isprintable() for text in found.values()):
        raise Refusal("product.about", "a title, unit or contract is too long or not printable",
                      remedy="give 200 characters at most")  # fmt: skip
    if found["contract"]:
        office.contract(found["contract"])
    return {"title": found["title"] or name, "unit": found["unit"] or "people a day",
            "contract": found["contract"], "synthetic": synthetic}  # fmt: skip


def _row(p: Product) -> Document:
    return {"name": p.name, "title": str(p.about.get("title") or p.name), "unit": str(p.about.get("unit") or ""),
            "contract": str(p.about.get("contract") or ""), "synthetic": bool(p.about.get("synthetic")),
            "version": p.version, "changed": p.changed}  # fmt: skip


def _find(office: NodeOffice, name: str) -> Product:
    found = next((p for p in office.store.publications.products() if p.name == name), None)
    if found is None:
        raise Refusal("product.unknown", f"there is no product {name[:64]!r}",
                      remedy="see the products")  # fmt: skip
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal("product.day.malformed", f"{text[:20]!r} is not a day",
                      remedy="write it like 2026-11-30") from error  # fmt: skip


def _named(change: Change, places: Gazetteer | None) -> Document:
    number = None if places is None else places.position.get(change.figure.place)
    if places is None or number is None:
        return {**change.body(), "label": change.figure.place, "lat": None, "lon": None}
    return {**change.body(), "label": places.names[number] or change.figure.place,
            "lat": float(places.lat[number]), "lon": float(places.lon[number])}  # fmt: skip


def _places(office: NodeOffice, name: str, ids: list[str]) -> Gazetteer | None:
    """The list of places that knows most of these: one of the product's contract first, then any held here."""
    contract = str(_find(office, name).about.get("contract") or "")
    digests: list[str] = []
    if contract:
        with suppress(HanseError):
            agreed = bundle_of(office.contract(contract)).contract
            digests = [g.digest for g in agreed.gazetteers]
    digests += [h.digest for h in office.shelf.all()]
    best, most = None, 0
    for digest in dict.fromkeys(digests):
        found = office.shelf.find(digest)
        known = 0 if found is None else sum(i in found.position for i in ids[:500])
        if known > most:
            best, most = found, known
    return best


def _type(places: Gazetteer, place: str) -> str:
    number = places.position.get(place)
    return places.types[number] if number is not None else "unknown"


def _read(file_name: str, data: bytes, most: int) -> list[Figure]:
    """The figures of an uploaded file, of which nothing is kept here."""
    with uploaded(file_name, data) as path:
        return read_figures(path, most)


def _first_words(
    office: NodeOffice, name: str, days: list[str]
) -> dict[tuple[str, str], tuple[float | None, ...]]:
    """(value, low, high, confidence) of the first version of each place, of these days."""
    t = tables.published
    found: dict[tuple[str, str], tuple[float | None, ...]] = {}
    with office.store.database.reading() as connection:
        for start in range(0, len(days), 500):
            some = days[start : start + 500]
            query = select(t).where(and_(t.c.product == name, t.c.version == 1, t.c.date.in_(some)))
            for row in connection.execute(query):
                found[row.place, row.date] = (row.value, row.low, row.high, row.confidence)
    return found
