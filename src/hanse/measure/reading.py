"""What every question's rows are read with at home: a reader of datasets, and tests in the catalog's words."""

from __future__ import annotations

from collections.abc import Callable

from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import RowRequest
from hanse.catalog.rows import PersonRows
from hanse.measure.questions import Condition

Reader = Callable[[Dataset, RowRequest], PersonRows]


def home_condition(condition: Condition) -> HomeCondition:
    """The same test in the catalog's words; numbers of contracts are whole units."""
    if condition.one_of is not None:
        return HomeCondition(column=condition.column, among=tuple(map(_whole, condition.one_of)))
    if condition.equals is not None:
        return HomeCondition(column=condition.column, equals=_whole(condition.equals))
    low, high = condition.at_least, condition.at_most
    if low is not None and high is not None:
        return HomeCondition(column=condition.column, between=(_whole(low), _whole(high)))
    if low is not None:
        return HomeCondition(column=condition.column, at_least=_whole(low))
    return HomeCondition(column=condition.column, at_most=_whole(high))


def _whole(value: str | int | float | bool | None) -> str | int | bool:
    if isinstance(value, float):
        return int(value)
    return value if value is not None else 0
