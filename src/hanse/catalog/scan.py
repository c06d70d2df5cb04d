"""The one query that reads a dataset for a request: canonical columns, conditions, what is broken."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from hanse.catalog.datasets import Column, Dataset, IdColumn
from hanse.catalog.expressions import (
    Parameters,
    as_text,
    checked_value,
    expression,
    identifier,
    remedy_for,
)
from hanse.catalog.requests import Condition, LabelRequest, RowRequest
from hanse.catalog.sources import Source
from hanse.errors import Fault


class Scan:
    """`query` with its `values` gives one row per source row.

    Columns: id (text, null unless kept), kept (only if `has_kept`), broken (only if something may be),
    per event group n: ``m{n}`` (its conditions hold), ``t{n}`` (microseconds), ``c{n}`` and ``v{n}`` (its code and
    value), per label n: ``l{n}``, ``lt{n}`` (microseconds) and ``lm{n}`` (its conditions hold).
    """

    def __init__(
        self, source: Source, dataset: Dataset, request: RowRequest, chosen: IdColumn
    ) -> None:
        self._source = source
        self._dataset = dataset
        self._parameters = Parameters()
        self._used: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        outer = self._selected(request)
        self.has_kept = bool(request.events) and not request.labels and not request.keep_all
        self.has_kept &= all(group.where for group in request.events)
        id_text = id_expression(source, chosen)
        inner = [f"{id_text} AS id"]
        inner += [f"{sql} AS {identifier(name)}" for name, sql in self._used.items()]
        if self._broken:
            flags = " OR ".join(self._broken.values())
            inner.append(f"({flags}) AS broken")
            outer.append("broken")
        if self.has_kept:
            kept = " OR ".join(f"m{number}" for number in range(len(request.events)))
            outer = ["CASE WHEN kept THEN id END AS id", "kept", *outer]
            middle = f"SELECT *, ({kept}) AS kept FROM ("
        else:
            outer = ["id", *outer]
            middle = "SELECT * FROM ("
        # The alias m{n} is computed in the innermost select, so that `kept` may refer to it.
        inner += self._conditions
        self.query = (
            f"SELECT {', '.join(outer)} FROM ({middle}SELECT {', '.join(inner)} FROM source))"
        )
        self.values = self._parameters.values

    def _selected(self, request: RowRequest) -> list[str]:
        """The outer columns; fills the inner ones on the way."""
        outer: list[str] = []
        self._conditions: list[str] = []
        for number, group in enumerate(request.events):
            if group.where:
                outer.append(self._holding(group.where, f"m{number}"))
            outer.append(f"{self._column(group.time, 'time')} AS t{number}")
            if group.code is not None:
                outer.append(f"{self._column(group.code.column, 'category', 'place')} AS c{number}")
            if group.value is not None:
                outer.append(
                    f"{self._column(group.value.column, 'integer', 'amount')} AS v{number}"
                )
        for number, label in enumerate(request.labels):
            self._check_label(label)
            outer.append(f"{self._column(label.column)} AS l{number}")
            if label.time is not None:
                outer.append(f"{self._column(label.time, 'time')} AS lt{number}")
            if label.where:
                outer.append(self._holding(label.where, f"lm{number}"))
        return outer

    def _holding(self, where: tuple[Condition, ...], alias: str) -> str:
        """The inner alias of whether all conditions hold."""
        holds = " AND ".join(self._condition(condition) for condition in where)
        self._conditions.append(f"coalesce({holds}, false) AS {alias}")
        return alias

    def _column(self, name: str, *kinds: str) -> str:
        """The inner alias of a column's canonical value."""
        column = self._dataset.column(name)
        where = f"{self._dataset.name}.{name}"
        if kinds and column.kind not in kinds:
            wanted = " or ".join(kinds)
            raise Fault(
                "catalog.filter",
                f"column {name!r} is {column.kind}, where {wanted} is needed",
                remedy=f"name a column of kind {wanted}",
                where=where,
            )
        self._used.setdefault(f"c {name}", self._expression(column, where))
        return identifier(f"c {name}")

    def _expression(self, column: Column, where: str) -> str:
        made = expression(column, self._source.type_of(column.column), where)
        if made.broken is not None:
            self._broken.setdefault(column.name, made.broken)
        return made.sql

    def _condition(self, condition: Condition) -> str:
        column = self._dataset.column(condition.column)
        where = f"{self._dataset.name}.{column.name}"
        self._column(condition.column)
        sql = f"({self._used[f'c {column.name}']})"

        def bound(value: object) -> str:
            return self._parameters.add(checked_value(column, value, where))

        if condition.equals is not None:
            return f"{sql} = {bound(condition.equals)}"
        if condition.among is not None:
            return f"{sql} IN ({', '.join(bound(value) for value in condition.among)})"
        if column.kind in {"category", "boolean", "place"}:
            raise Fault(
                "catalog.filter",
                f"column {column.name!r} is {column.kind}: it has no order",
                remedy="use equals or among",
                where=where,
            )
        if condition.between is not None:
            low, high = condition.between
            return f"{sql} BETWEEN {bound(low)} AND {bound(high)}"
        if condition.at_least is not None:
            return f"{sql} >= {bound(condition.at_least)}"
        return f"{sql} <= {bound(condition.at_most)}"

    def _check_label(self, label: LabelRequest) -> None:
        kind = self._dataset.column(label.column).kind
        problem = ""
        if kind in {"time", "number"}:
            problem = f"a {kind} cannot be a label"
        elif (kind in {"category", "place"}) != bool(label.values):
            problem = "a category or place needs its public list of values, other kinds have none"
        elif (kind in {"integer", "amount"}) != (label.maximum is not None):
            problem = "a number needs a maximum, other kinds have none"
        elif label.combine == "sum" and label.maximum is None:
            problem = "only numbers can be summed"
        if problem:
            raise Fault(
                "catalog.label",
                f"label {label.name!r} over the {kind} column {label.column!r}: {problem}",
                remedy="correct the label's request",
                where=self._dataset.name,
            )

    def refuse_broken(self, batch: Any) -> None:
        """`Fault` ``catalog.malformed`` where a needed column holds what cannot be read."""
        if self._broken and pc.any(batch.column("broken")).as_py():
            names = ", ".join(repr(name) for name in self._broken)
            kinds = {self._dataset.column(name).kind for name in self._broken}
            raise Fault(
                "catalog.malformed",
                f"{self._source.label} holds values that cannot be read in {names}",
                remedy="register the dataset again to see where; "
                + "; ".join(remedy_for(kind) for kind in sorted(kinds)),
                where=self._dataset.name,
            )


def id_expression(source: Source, column: IdColumn) -> str:
    """SQL of an id column as text; `Fault` ``catalog.wrong-type`` where it cannot hold ids."""
    found = source.type_of(column.column)
    sql = as_text(column.column, found)
    if sql is None:
        raise Fault(
            "catalog.wrong-type",
            f"id column {column.column!r} is {found}, which cannot hold {column.type} ids",
            remedy="store ids as text; numbers with a fraction have usually lost digits already",
            where=f"{source.dataset}.{column.column}",
        )
    return sql
