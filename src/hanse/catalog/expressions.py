"""SQL for one column's meaning: text that DuckDB computes, built from quoted names only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from hanse.catalog.datasets import Column, Kind
from hanse.errors import Fault

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WHOLE = frozenset((*_INTEGERS, *(f"U{name}" for name in _INTEGERS)))
_REAL = frozenset(("FLOAT", "DOUBLE"))
_STAMPS = frozenset(("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"))
_ZONED = "TIMESTAMP WITH TIME ZONE"
_GREATEST = 2**53
_OFFSET = r"[T ]\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)\s*$"
_MICROSECONDS = {"seconds": 1_000_000, "milliseconds": 1_000}

_REMEDY = {
    "category": "use a text or whole-number column",
    "integer": "use a column of whole numbers, zero or more",
    "amount": "use a column of numbers, zero or more; `scale` turns them into whole units",
    "time": 'use timestamps, dates or ISO text such as "2026-01-31 18:30:00"; for numbers set `epoch`',
    "boolean": "use a boolean column, or one of true/false, yes/no, 1/0",
    "place": "use a text or whole-number column of ids from the list of places",
    "number": "use a column of numbers; leave out infinite ones",
}


@dataclass(frozen=True)
class Expression:
    """`sql` is the column's value in its canonical type, NULL where missing or malformed.

    Canonical: category and place VARCHAR, integer and amount BIGINT, time BIGINT microseconds since 1970 UTC,
    boolean BOOLEAN, number DOUBLE. `broken` is SQL that is true where something stands there that is no such
    value; None where the source's type leaves no room for that.
    """

    sql: str
    broken: str | None


def identifier(name: str) -> str:
    """A name, quoted for DuckDB and PostgreSQL alike."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text value, quoted."""
    return "'" + text.replace("'", "''") + "'"


def as_text(column: str, source_type: str) -> str | None:
    """SQL of an id column as text, None where its type cannot hold an identifier."""
    quoted = identifier(column)
    if _is_text(source_type):
        return f"CAST({quoted} AS VARCHAR)" if source_type != "VARCHAR" else quoted
    return f"CAST({quoted} AS VARCHAR)" if source_type in _WHOLE | {"UUID"} else None


def expression(column: Column, source_type: str, where: str) -> Expression:
    """How to read `column`; `Fault` ``catalog.wrong-type`` where its type cannot mean its kind."""
    quoted = identifier(column.column)
    text = f"nullif(trim(CAST({quoted} AS VARCHAR)), '')"
    found: Expression | None = None
    if column.kind in ("category", "place"):
        if _is_text(source_type):
            found = Expression(f"nullif(CAST({quoted} AS VARCHAR), '')", None)
        elif source_type in _WHOLE | {"BOOLEAN", "UUID"}:
            found = Expression(f"CAST({quoted} AS VARCHAR)", None)
    elif column.kind == "boolean":
        found = _boolean(quoted, text, source_type)
    elif column.kind == "time":
        found = _time(column, quoted, text, source_type)
    elif column.kind == "number":
        found = _real(quoted, text, source_type)
    else:
        found = _number(column, quoted, text, source_type)
    if found is None:
        raise Fault(
            "catalog.wrong-type",
            f"column {column.column!r} is {source_type}, which cannot be read as {column.kind}",
            remedy=_REMEDY[column.kind],
            where=where,
        )
    return found


def remedy_for(kind: Kind) -> str:
    """What a column of this kind should hold."""
    return _REMEDY[kind]


def _is_text(source_type: str) -> bool:
    return source_type == "VARCHAR" or source_type.startswith("ENUM")


def _checked(sql: str, present: str) -> Expression:
    return Expression(sql, f"({present} IS NOT NULL AND ({sql}) IS NULL)")


def _boolean(quoted: str, text: str, source_type: str) -> Expression | None:
    if source_type == "BOOLEAN":
        return Expression(quoted, None)
    if source_type in _WHOLE:
        return _checked(f"CASE {quoted} WHEN 1 THEN true WHEN 0 THEN false END", quoted)
    if _is_text(source_type):
        yes, no = "('true', 't', 'yes', 'y', '1')", "('false', 'f', 'no', 'n', '0')"
        case = (
            f"CASE WHEN lower({text}) IN {yes} THEN true WHEN lower({text}) IN {no} THEN false END"
        )
        return _checked(case, text)
    return None


def _real(quoted: str, text: str, source_type: str) -> Expression | None:
    if _is_text(source_type):
        number, present = f"TRY_CAST({text} AS DOUBLE)", text
    elif source_type in _WHOLE | _REAL or source_type.startswith("DECIMAL"):
        number, present = f"CAST({quoted} AS DOUBLE)", quoted
    else:
        return None
    # NaN is what some tools write for a missing value.
    finite = f"CASE WHEN isfinite({number}) THEN {number} END"
    return Expression(finite, f"({present} IS NOT NULL AND ({number}) IS NULL OR isinf({number}))")


def _number(column: Column, quoted: str, text: str, source_type: str) -> Expression | None:
    present, number = quoted, quoted
    if _is_text(source_type):
        present, number = text, f"TRY_CAST({text} AS DOUBLE)"
        if column.kind == "integer":
            whole = rf"regexp_full_match({text}, '\d{{1,18}}')"
            number = f"CASE WHEN {whole} THEN TRY_CAST({text} AS BIGINT) END"
    elif source_type not in _WHOLE | _REAL and not source_type.startswith("DECIMAL"):
        return None
    positive = f"({number}) >= 0"  # before rounding, which would hide a small negative amount
    if column.kind == "amount":
        number = f"round(CAST(({number}) AS DOUBLE) * {column.scale})"
    elif source_type not in _WHOLE and not _is_text(source_type):
        number = f"CASE WHEN {number} = floor({number}) THEN {number} END"
    inside = f"{positive} AND ({number}) <= {_GREATEST}"  # false for NaN too: DuckDB sorts it last
    return _checked(f"CASE WHEN {inside} THEN TRY_CAST({number} AS BIGINT) END", present)


def _time(column: Column, quoted: str, text: str, source_type: str) -> Expression | None:
    is_text = _is_text(source_type)
    if column.epoch is not None:
        if not is_text and source_type not in _WHOLE:
            return None
        number = f"TRY_CAST({text} AS BIGINT)" if is_text else quoted
        factor = _MICROSECONDS[column.epoch]
        inside = f"({number}) BETWEEN 0 AND {_GREATEST // factor}"
        ticks = f"TRY_CAST(TRY_CAST({number} AS HUGEINT) * {factor} AS BIGINT)"
        return _checked(f"CASE WHEN {inside} THEN {ticks} END", text if is_text else quoted)
    if source_type == _ZONED:
        return _checked(_microseconds(quoted), quoted)
    if source_type in _STAMPS:
        return _checked(_microseconds(_local(f"CAST({quoted} AS TIMESTAMP)", column.zone)), quoted)
    if not is_text:
        return None
    zoned = _microseconds(f"TRY_CAST({text} AS TIMESTAMPTZ)")
    local = _microseconds(_local(f"TRY_CAST({text} AS TIMESTAMP)", column.zone))
    has_offset = f"regexp_matches({text}, {literal(_OFFSET)})"
    return _checked(f"CASE WHEN {has_offset} THEN {zoned} ELSE {local} END", text)


def _local(stamp: str, zone: str) -> str:
    return stamp if zone == "UTC" else f"timezone({literal(zone)}, {stamp})"


def _microseconds(stamp: str) -> str:
    return f"epoch_us({stamp})"


class Parameters:
    """Values that a query refers to by name, so that none is ever written into its text."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def add(self, value: object) -> str:
        """The placeholder of `value`."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def checked_value(column: Column, value: object, where: str) -> object:
    """`value` as the canonical type of `column`; `Fault` ``catalog.filter`` if it cannot be one."""
    if column.kind in ("category", "place") and isinstance(value, str):
        return value
    if column.kind == "boolean" and isinstance(value, bool):
        return value
    if column.kind in {"integer", "amount"} and type(value) is int:
        return value
    if column.kind == "time":
        instant = _instant(value)
        if instant is not None:
            return instant
    raise Fault(
        "catalog.filter",
        f"column {column.name!r} is {column.kind} and cannot be compared with a {type(value).__name__}",
        remedy={
            "category": "compare it with text",
            "place": "compare it with a place's id",
            "boolean": "compare it with true or false",
            "time": "compare it with a time that has an offset, such as 2026-01-31T18:30:00+08:00",
        }.get(column.kind, "compare it with a whole number"),
        where=where,
    )


def _instant(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    return microseconds(value)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    elapsed = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
