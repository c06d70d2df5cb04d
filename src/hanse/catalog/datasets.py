"""What a provider writes down about a dataset before a contract can name it.

A `Dataset` says where rows lie, which columns identify a person, which columns mean what, and on
what legal ground they are used. It is private to its owner: a contract repeats the names and kinds,
never paths. Nothing here opens a file; `registration.register` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from hanse.errors import Fault
from hanse.problems import fault, keys_of

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Kind = Literal["category", "integer", "amount", "time", "boolean", "place", "number"]
IdFormat = Literal["plain", "md5", "sha256", "md5+sha256"]
HashChain = Literal["sha256", "md5+sha256"]
Classification = Literal["personal", "sensitive", "trade-secret", "public"]
LegalBasis = Literal["consent", "contract", "legitimate-interest", "public-task", "not-personal"]

Value = StrictBool | StrictInt | StrictStr | datetime | date

DERIVED_COLUMNS = ("campaign", "screen", "exposed_at", "overlap_seconds")


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(Record):
    """One comparison on a column (by its contract name); exactly one of the five is given.

    Amounts are compared in whole units (after `scale`); times need an offset.
    """

    column: Name
    equals: Value | None = None
    among: tuple[Value, ...] | None = None
    at_least: Value | None = None
    at_most: Value | None = None
    between: tuple[Value, Value] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Condition:
        given = [self.equals, self.among, self.at_least, self.at_most, self.between]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of equals, among, at_least, at_most, between")
        if self.among is not None and not self.among:
            raise ValueError("`among` needs at least one value")
        return self


class FileSource(Record):
    """A CSV or Parquet file, or a folder of Parquet files (read as one table, subfolders too)."""

    path: Path


class PostgresSource(Record):
    """A PostgreSQL table or view.

    `dsn` is a libpq connection string or URI without a password: keep that in the password file
    (~/.pgpass), a service file or the node's environment (PGPASSWORD).
    """

    dsn: str = Field(min_length=1)
    table: str = Field(min_length=1)
    schema_name: str = Field(default="public", min_length=1)

    @field_validator("dsn")
    @classmethod
    def _has_no_password(cls, dsn: str) -> str:
        if re.search(r"password\s*=|://[^/@\s]*:[^/@\s]*@", dsn, re.IGNORECASE):
            raise ValueError("the dsn holds a password; keep it in ~/.pgpass or PGPASSWORD instead")
        return dsn


class PackageSource(Record):
    """The members of a crowd package (`catalog.packages`): people of another dataset, chosen at every run.

    Members have at least `at_least` rows in `of` that meet all conditions of `where`; rows are dated by `time`, and
    those of an undated dataset count once. The withdrawals of `of` hold. Made from a package, never by hand.
    """

    package: Name
    version: int = Field(ge=1)
    of: Dataset
    where: tuple[Condition, ...] = ()
    time: Name | None = None
    at_least: int = Field(default=1, ge=1, le=32)


def _source_kind(source: Any) -> str:
    """Which one a description means, so that its errors are about that one."""
    if isinstance(source, PackageSource) or (isinstance(source, Mapping) and "of" in source):
        return "package"
    is_table = isinstance(source, PostgresSource) or (
        isinstance(source, Mapping) and ("dsn" in source or "table" in source)
    )
    return "postgres" if is_table else "file"


class IdColumn(Record):
    """A source column that identifies a person.

    `type` is phone, email, imei, oaid, idfa, gaid or mac, or any other name for opaque ids; `format`
    says whether the column is plain or hashed already; `region` is the country ("CN") in which
    phone numbers without a country code are dialled.
    """

    column: str = Field(min_length=1)
    type: Name
    format: IdFormat = "plain"
    region: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")


class Column(Record):
    """A source column under the name that contracts use.

    time: timestamps and dates as they are, or ISO text; without an offset they are in `zone` (IANA).
    Numbers are times only with `epoch`. amount: multiplied by `scale` and rounded to whole units (100
    for cents). integer and amount must not be negative. category: text or whole numbers, compared
    as text; place: the same, ids of places in a gazetteer. number: any real number, for models only.
    boolean: true/false, yes/no, 1/0. An empty cell is a missing value.
    """

    name: Name
    column: str = Field(min_length=1)
    kind: Kind
    scale: int = Field(default=1, ge=1, le=1_000_000)
    zone: str = "UTC"
    epoch: Literal["seconds", "milliseconds"] | None = None

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        return checked_zone(zone)


class Withdrawals(Record):
    """A list of ids of people who withdrew: their rows are gone from the next run on.

    A CSV or Parquet file; `column` None means one id per line, no heading. `type` names one of the
    dataset's id columns, which need not be the one that a contract joins on.
    """

    path: Path
    type: Name
    column: str | None = None
    format: IdFormat = "plain"
    region: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")


class Presence(Record):
    """Exposures to offline advertising, derived at home: presence near a screen x its play schedule.

    The source's rows are visits: person ids, `screen`, `arrival`, and `departure` or `dwell_seconds`,
    perhaps `distance`. `schedule` is a CSV or Parquet file of plays. Each (visit, play) at the same
    screen that overlaps by at least `min_overlap_seconds` is one exposure; the dataset's own columns
    then refer to ``campaign``, ``screen``, ``exposed_at`` (start of the overlap, UTC) and
    ``overlap_seconds``. Visits longer than `max_dwell_hours` are taken for broken and left out.
    """

    schedule: Path
    screen: str = "screen"
    arrival: str = "arrival"
    departure: str | None = None
    dwell_seconds: str | None = None
    distance: str | None = None
    schedule_screen: str = "screen"
    schedule_campaign: str = "campaign"
    schedule_start: str = "start"
    schedule_end: str = "end"
    zone: str = "UTC"
    min_overlap_seconds: float = Field(default=1.0, gt=0)
    max_distance: float | None = Field(default=None, ge=0)
    max_dwell_hours: int = Field(default=24, ge=1, le=168)

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        return checked_zone(zone)

    @model_validator(mode="after")
    def _is_complete(self) -> Presence:
        if (self.departure is None) == (self.dwell_seconds is None):
            raise ValueError("name either the departure or the dwell_seconds column")
        if (self.max_distance is None) != (self.distance is None):
            raise ValueError("distance (a column) and max_distance come together")
        return self


class Dataset(Record):
    """A registered source of rows about people; see the classes of its fields."""

    name: Name
    source: Annotated[
        Annotated[FileSource, Tag("file")]
        | Annotated[PostgresSource, Tag("postgres")]
        | Annotated[PackageSource, Tag("package")],
        Discriminator(_source_kind),
    ]
    ids: tuple[IdColumn, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = ()
    classification: Classification
    description: str = Field(min_length=1)
    legal_basis: LegalBasis
    evidence: str = ""
    withdrawals: tuple[Withdrawals, ...] = ()
    derive: Presence | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Dataset:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        types = {column.type for column in self.ids}
        strangers = sorted({w.type for w in self.withdrawals} - types)
        if strangers:
            raise ValueError(f"withdrawals of an id type without a column: {', '.join(strangers)}")
        if self.classification in {"personal", "sensitive"} and self.legal_basis == "not-personal":
            raise ValueError("personal or sensitive data needs a legal basis")
        if self.legal_basis == "consent" and not self.evidence:
            raise ValueError("say in `evidence` where the evidence of consent is kept")
        if self.derive is not None:
            odd = sorted({c.column for c in self.columns} - set(DERIVED_COLUMNS))
            if odd:
                raise ValueError(
                    f"derived exposures have only the columns {', '.join(DERIVED_COLUMNS)}, "
                    f"not {', '.join(odd)}"
                )
        return self

    def column(self, name: str) -> Column:
        """The column with the contract's `name`; `Fault` ``catalog.unknown-column`` without one."""
        for column in self.columns:
            if column.name == name:
                return column
        raise Fault(
            "catalog.unknown-column",
            f"dataset {self.name!r} has no column {name!r}",
            remedy=f"use one of: {', '.join(c.name for c in self.columns) or '(none declared)'}",
            where=self.name,
        )


def parse_dataset(document: Mapping[str, Any]) -> Dataset:
    """The dataset a TOML or JSON document describes; `Fault` ``catalog.dataset`` naming the field."""
    try:
        return Dataset.model_validate(document)
    except ValidationError as error:
        name = document.get("name")
        what = (
            f"the description of dataset {name[:64]!r}"
            if isinstance(name, str)
            else "the dataset's description"
        )
        raise fault("catalog.dataset", what, error, document, keys_of(Dataset)) from error


def checked_zone(zone: str) -> str:
    """`zone` if it is an IANA time zone; reads no file for "UTC"."""
    if zone != "UTC" and zone not in available_timezones():
        raise ValueError(f"{zone!r} is not an IANA time zone")
    return zone
