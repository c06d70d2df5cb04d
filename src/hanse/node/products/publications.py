"""What this node publishes to systems inside and outside: figures per place and day, versioned, never rewritten.

A *product* is one such series (say, the crowd of places under a contract). Publishing a place and day again adds
its next version; the older one stays, and whoever asks can see it. ``number`` orders all changes, so that a
consumer can follow them without missing or repeating one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, func, select

from hanse.errors import Refusal
from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_text, put_row, to_text, to_time

PRODUCT_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{2,63}")
MOST_PLACE_CHARACTERS = 128
_BATCH = 5000
State = Literal["published", "abstained"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One place and day. Of an abstained one only the ``reason`` is known; ``confidence`` is the expected P30."""

    place: str
    date: date
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    reason: str = ""

    @property
    def state(self) -> State:
        return "published" if self.value is not None else "abstained"


@dataclass(frozen=True, slots=True)
class Change:
    """A figure as it was published: its number in the stream of changes, and its version."""

    number: int
    version: int
    at: str
    figure: Figure

    def body(self) -> dict[str, Any]:
        """As the API gives it."""
        f = self.figure
        return {
            "place": f.place,
            "date": f.date.isoformat(),
            "state": f.state,
            "value": f.value,
            "low": f.low,
            "high": f.high,
            "confidence": f.confidence,
            "reason": f.reason,
            "version": self.version,
            "published_at": self.at,
            "number": self.number,
        }


@dataclass(frozen=True, slots=True)
class Product:
    """A series: ``about`` has title, unit, contract and whether the data are synthetic."""

    name: str
    about: dict[str, Any]
    version: int
    changed: str


class Publications:
    """The products of a node's store. Thread-safe; several processes may publish and read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(
        self, product: str, about: dict[str, Any], figures: Sequence[Figure], at: datetime
    ) -> int:
        """Add figures as new versions; how many changed. Equal figures are not published again.

        All of them or none. Raises `Refusal` ``product.name``, ``product.figure`` naming place and day, or
        ``product.twice``.
        """
        if PRODUCT_PATTERN.fullmatch(product) is None:
            raise Refusal("product.name", f"{product[:64]!r} is not a product's name",
                          remedy="use 3 to 64 lower-case letters, digits and hyphens")  # fmt: skip
        keys = set()
        for figure in figures:
            _check(figure)
            key = (figure.place, figure.date)
            if key in keys:
                raise Refusal("product.twice", f"place {figure.place!r} has two figures for {figure.date}",
                              remedy="publish one figure per place and day")  # fmt: skip
            keys.add(key)
        table = tables.published
        with self._database.writing() as connection:
            number = connection.execute(
                select(func.coalesce(func.max(table.c.number), 0))
            ).scalar_one()
            row = connection.execute(
                select(tables.products.c.version).where(tables.products.c.name == product)
            ).first()
            latest = _latest(connection, product, {f.date.isoformat() for f in figures})
            values = []
            for figure in figures:
                before = latest.get((figure.place, figure.date.isoformat()))
                if before is not None and before.figure == figure:
                    continue
                number += 1
                values.append(
                    _values(product, figure, number, before.version + 1 if before else 1, at)
                )
            for start in range(0, len(values), _BATCH):
                connection.execute(table.insert(), values[start : start + _BATCH])
            _count_days(connection, product, latest, values)
            if values or row is None:
                fields = {
                    "about": to_text(about),
                    "version": (row.version if row else 0) + 1,
                    "changed": to_time(at),
                }
                put_row(connection, tables.products, {"name": product}, fields)
        return len(values)

    def products(self) -> list[Product]:
        """Every product, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.products).order_by(tables.products.c.name))
            return [Product(r.name, from_text(r.about), r.version, r.changed) for r in rows]

    def dates(self, product: str, most: int) -> list[tuple[str, int, int]]:
        """The last ``most`` days, the newest first: (date, places with a figure, places withheld)."""
        table = tables.product_days
        query = (
            select(table.c.date, table.c.published, table.c.abstained)
            .where(table.c.product == product)
            .order_by(table.c.date.desc())
            .limit(most)
        )
        with self._database.reading() as connection:
            return [(r.date, r.published, r.abstained) for r in connection.execute(query)]

    def versions(self) -> dict[str, int]:
        """How often each product was published: what caches compare."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.products.c.name, tables.products.c.version))
            return {r.name: r.version for r in rows}

    def days(
        self, product: str, place: str, first: date | None = None, last: date | None = None
    ) -> list[Change]:
        """The newest version of each day of a place, in order."""
        table = tables.published
        conditions = [table.c.product == product, table.c.place == place]
        conditions += [table.c.date >= first.isoformat()] if first else []
        conditions += [table.c.date <= last.isoformat()] if last else []
        query = select(table).where(and_(*conditions)).order_by(table.c.date, table.c.version)
        with self._database.reading() as connection:
            newest = {row.date: row for row in connection.execute(query)}
        return [_change(row) for row in newest.values()]

    def history(self, product: str, place: str, day: date) -> list[Change]:
        """Every version of one place and day, oldest first."""
        table = tables.published
        query = (
            select(table)
            .where(
                table.c.product == product, table.c.place == place, table.c.date == day.isoformat()
            )
            .order_by(table.c.version)
        )
        with self._database.reading() as connection:
            return [_change(row) for row in connection.execute(query)]

    def changes(self, product: str, after: int, limit: int) -> list[Change]:
        """Changes with a number above ``after``, in order, at most ``limit``."""
        table = tables.published
        query = (
            select(table)
            .where(table.c.product == product, table.c.number > after)
            .order_by(table.c.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_change(row) for row in connection.execute(query)]

    def day(self, product: str, day: date) -> Iterator[Change]:
        """The newest version of every place on a day, by place."""
        with self._database.reading() as connection:
            latest = _latest(connection, product, {day.isoformat()})
        yield from (latest[key] for key in sorted(latest))


def _latest(connection: Any, product: str, days: Iterable[str]) -> dict[tuple[str, str], Change]:
    """The newest version of every place on each of the days."""
    table = tables.published
    found = {}
    for day in sorted(days):
        query = (
            select(table)
            .where(table.c.product == product, table.c.date == day)
            .order_by(table.c.version)
        )
        for row in connection.execute(query):
            found[row.place, row.date] = _change(row)
    return found


def _count_days(
    connection: Connection, product: str, latest: Mapping[tuple[str, str], Change],
    values: Iterable[Mapping[str, Any]],
) -> None:  # fmt: skip
    """Count the places of the days that change: counting at every look would read every row of them."""
    states = {key: change.figure.state for key, change in latest.items()}
    states |= {(v["place"], v["date"]): v["state"] for v in values}
    counts: dict[str, dict[str, int]] = {}
    for (_, day), state in states.items():
        of_day = counts.setdefault(day, {"published": 0, "abstained": 0})
        of_day[state] += 1
    for day, fields in counts.items():
        put_row(connection, tables.product_days, {"product": product, "date": day}, fields)


def _values(
    product: str, figure: Figure, number: int, version: int, at: datetime
) -> dict[str, Any]:
    return {
        "number": number, "product": product, "place": figure.place, "date": figure.date.isoformat(),
        "version": version, "state": figure.state, "value": figure.value, "low": figure.low,
        "high": figure.high, "confidence": figure.confidence, "reason": figure.reason, "at": to_time(at),
    }  # fmt: skip


def _change(row: Row[Any]) -> Change:
    figure = Figure(
        row.place,
        date.fromisoformat(row.date),
        row.value,
        row.low,
        row.high,
        row.confidence,
        row.reason,
    )
    return Change(row.number, row.version, row.at, figure)


def _check(figure: Figure) -> None:
    where = f"place {figure.place[:64]!r}, {figure.date}"
    numbers = [
        v for v in (figure.value, figure.low, figure.high, figure.confidence) if v is not None
    ]
    problem = ""
    if not 0 < len(figure.place) <= MOST_PLACE_CHARACTERS or not figure.place.isprintable():
        problem = "the place's id is empty, too long or not printable"
    elif not all(math.isfinite(v) and v >= 0 for v in numbers):
        problem = "a number is negative or not finite"
    elif figure.value is None and (numbers or not figure.reason):
        problem = "an abstained figure has a reason and no numbers"
    elif figure.low is not None and figure.high is not None and figure.low > figure.high:
        problem = "the interval ends before it begins"
    elif figure.confidence is not None and figure.confidence > 1:
        problem = "the confidence is over 1"
    if problem:
        raise Refusal("product.figure", f"a figure cannot be published: {problem}",
                      remedy="correct it; nothing of this publication was kept", where=where)  # fmt: skip
