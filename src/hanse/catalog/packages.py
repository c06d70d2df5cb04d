"""Crowd packages: a named, versioned set of people at one provider, to be used in contracts as a dataset.

A package says who is meant, not who that is: a filter over a registered dataset, read anew at every run (so that
people who withdrew are gone from the next run on), or a list of ids in a file, which must stay as it was. It
carries what it was made from, what for, on what evidence of consent, and when it ends. No member is ever printed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from hanse.catalog.datasets import (
    Condition,
    Dataset,
    FileSource,
    IdColumn,
    LegalBasis,
    Name,
    PackageSource,
    PostgresSource,
    Record,
    Withdrawals,
)
from hanse.errors import Fault, Refusal
from hanse.problems import fault, keys_of

MOST_DAYS = 3660
_BANDS: tuple[int, ...] = tuple(step * 10**power for power in range(2, 12) for step in (1, 2, 5))


class EventFilter(Record):
    """People with at least `at_least` rows of the dataset `of` that meet all of `where`.

    Rows count within [`starts`, `ends`) (UTC), or within the last `days` whole days before the run; `time` is the
    column that dates them, by default the dataset's only one. Values are as the dataset's columns have them,
    amounts in whole units. Rows of a dataset without times count once per person.
    """

    of: Name
    where: tuple[Condition, ...] = Field(default=(), max_length=16)
    starts: date | None = None
    ends: date | None = None
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    time: Name | None = None
    at_least: int = Field(default=1, ge=1, le=32)

    @model_validator(mode="after")
    def _is_consistent(self) -> EventFilter:
        if (self.starts is None) != (self.ends is None):
            raise ValueError("give both starts and ends, or neither")
        if self.starts is not None and self.ends is not None and self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if self.days is not None and self.starts is not None:
            raise ValueError("give starts and ends, or days, not both")
        return self

    def period(self, today: date) -> tuple[date, date] | None:
        """[first day, day after the last), None for all time."""
        if self.days is not None:
            return today - timedelta(days=self.days), today
        return None if self.starts is None or self.ends is None else (self.starts, self.ends)


class IdFile(Record):
    """People whose ids stand in a CSV or Parquet file; `withdrawals` as a dataset has them."""

    path: Path
    ids: tuple[IdColumn, ...] = Field(min_length=1)
    withdrawals: tuple[Withdrawals, ...] = ()


class Provenance(Record):
    """What a version was made from: the dataset as it was registered then, the data's digest, when.

    `digest` is the SHA-256 of the files' digests, "" for a database. It stays at home.
    """

    made_of: str
    registered: AwareDatetime | None = None
    digest: str = ""
    at: AwareDatetime


class Package(Record):
    """One version of a package. `expires` is the first day on which it no longer serves."""

    name: Name
    version: int = Field(ge=1)
    events: EventFilter | None = None
    listed: IdFile | None = None
    purpose: str = Field(min_length=1, max_length=2000)
    legal_basis: LegalBasis = "consent"
    evidence: str = Field(min_length=1, max_length=2000)
    created: AwareDatetime
    expires: date
    provenance: Provenance

    @model_validator(mode="after")
    def _is_consistent(self) -> Package:
        if (self.events is None) == (self.listed is None):
            raise ValueError(
                "give either events (a filter over a dataset) or listed (a file of ids)"
            )
        if self.expires <= self.created.date():
            raise ValueError("expires must be a later day")
        return self

    def expired(self, today: date) -> bool:
        return today >= self.expires

    def in_words(self) -> str:
        """The definition as a person reads it; names columns and values, never people."""
        if self.events is None:
            return f"the ids in {self.listed.path.name!r}" if self.listed is not None else ""
        e = self.events
        parts = [f"at least {e.at_least} rows of {e.of!r}" if e.at_least > 1 else f"in {e.of!r}"]
        if e.where:
            parts.append("where " + " and ".join(map(_in_words, e.where)))
        if e.days is not None:
            parts.append(f"within the last {e.days} days before each run")
        elif e.starts is not None:
            parts.append(f"from {e.starts} until the day before {e.ends}")
        return " ".join(parts)


def parse_package(document: Mapping[str, Any]) -> Package:
    """The package that a document describes; `Fault` ``crowd.malformed`` naming the field."""
    try:
        return Package.model_validate(document)
    except ValidationError as error:
        name = document.get("name")
        what = (
            f"the definition of crowd package {name[:64]!r}"
            if isinstance(name, str)
            else "the crowd package"
        )
        raise fault("crowd.malformed", what, error, document, keys_of(Package)) from error


def settled(events: EventFilter, of: Dataset) -> EventFilter:
    """The filter with its time column found, every column checked; `Fault` ``crowd.filter`` or ``catalog...``."""
    times = [c.name for c in of.columns if c.kind == "time"]
    chosen = events.time
    if chosen is None and len(times) > 1:
        raise _unfit(
            of, f"has several time columns: {', '.join(times)}", "say which dates its rows: time"
        )
    if chosen is None and times:
        chosen = times[0]
    if chosen is not None and of.column(chosen).kind != "time":
        raise _unfit(of, f"has no time in column {chosen!r}", "name a column of kind time")
    if chosen is None and (events.at_least > 1 or events.days or events.starts):
        raise _unfit(of, "has no times, so its rows cannot be counted or bounded by days",
                     "drop at_least and the period, or register the dataset with a time column")  # fmt: skip
    for condition in events.where:
        if of.column(condition.column).kind == "time":
            raise _unfit(of, "is bounded in time by a period, not by a condition",
                         "give starts and ends, or days, instead")  # fmt: skip
    return events.model_copy(update={"time": chosen})


def members_of(package: Package, of: Dataset | None, today: date) -> Dataset:
    """The package as a dataset without columns, for `read_rows`; ``of`` is the dataset of its filter.

    Raises `Refusal` ``crowd.expired``, or ``crowd.changed`` for a file of ids that is no longer what it was.
    """
    if package.expired(today):
        raise Refusal(
            "crowd.expired",
            f"the crowd package {package.name!r}, version {package.version}, expired on {package.expires}",
            remedy="its owner may renew it while the consent holds: "
            f"hanse crowd renew {package.name} --expires DATE",
            where=f"crowd {package.name}",
        )
    if package.listed is not None:
        of = _listed(package, package.listed)
        if data_digest(of) != package.provenance.digest:
            raise Refusal(
                "crowd.changed",
                f"the file of the crowd package {package.name!r}, version {package.version}, is no longer "
                "what it was",
                remedy="put it back, or make the next version: hanse crowd create; "
                "people who withdrew belong on a withdrawal list",
                where=f"crowd {package.name}",
            )
    if of is None:
        raise _unfit(None, "is missing", "register the dataset that the package is made of")
    events = package.events or EventFilter(of="listed")
    period = events.period(today)
    where = events.where
    if period is not None and events.time is not None:
        first, end = (datetime.combine(day, time.min, UTC) for day in period)
        last = end - timedelta(microseconds=1)
        where = (Condition(column=events.time, between=(first, last)), *where)
    return Dataset(
        name=package.name,
        source=PackageSource(
            package=package.name, version=package.version, of=of, where=where, time=events.time,
            at_least=events.at_least,
        ),
        ids=of.ids,
        classification=of.classification,
        description=package.purpose,
        legal_basis=package.legal_basis,
        evidence=package.evidence,
    )  # fmt: skip


def _listed(package: Package, listed: IdFile) -> Dataset:
    """The file of ids as a dataset of its own."""
    return Dataset(
        name=package.name,
        source=FileSource(path=listed.path),
        ids=listed.ids,
        classification="personal",
        description=package.purpose,
        legal_basis=package.legal_basis,
        evidence=package.evidence,
        withdrawals=listed.withdrawals,
    )


def id_file_digest(listed: IdFile) -> str:
    """The digest that a version made of this file is bound to."""
    return _digest(_files(listed.path), listed.path.name)


def data_digest(dataset: Dataset) -> str:
    """SHA-256 over the digests of the dataset's files, "" for a database."""
    if isinstance(dataset.source, PackageSource):
        return data_digest(dataset.source.of)
    if isinstance(dataset.source, PostgresSource):
        return ""
    return _digest(_files(dataset.source.path), dataset.name)


def band(people: int) -> str:
    """A size, roughly: between two of 100, 200, 500, 1,000 and so on."""
    low = max((step for step in _BANDS if step <= people), default=0)
    return f"{low:,} to {room_for(people):,}" if low else f"fewer than {_BANDS[0]}"


def room_for(people: int) -> int:
    """A capacity that tells no more of a size than `band` does: more than it, so that a package may grow."""
    return min(step for step in _BANDS if step > people)


def _digest(files: Iterable[Path], name: str) -> str:
    total = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise Fault(
                "catalog.missing-file",
                f"a file of {name!r} cannot be read",
                remedy="put the file back, or check the path",
                where=name,
                detail=str(error),
            ) from error
    return total.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _unfit(of: Dataset | None, problem: str, remedy: str) -> Fault:
    name = "the dataset" if of is None else f"dataset {of.name!r}"
    return Fault("crowd.filter", f"{name} {problem}", remedy=remedy, where=of.name if of else "")


def _in_words(condition: Condition) -> str:
    c = condition
    if c.equals is not None:
        return f"{c.column} is {c.equals}"
    if c.among is not None:
        return f"{c.column} is one of {', '.join(map(str, c.among))}"
    if c.between is not None:
        return f"{c.column} is {c.between[0]} to {c.between[1]}"
    if c.at_least is not None:
        return f"{c.column} is at least {c.at_least}"
    return f"{c.column} is at most {c.at_most}"
