"""The questions' tests in SQL, for plain twins."""

from __future__ import annotations

from typing import Any

from hanse.measure.questions import Condition


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def where_clause(conditions: tuple[Condition, ...], values: list[Any]) -> str:
    """The conditions in SQL; what they compare with is added to ``values``."""
    tests = ["true"]
    for c in conditions:
        column = quoted(c.column)
        if c.equals is not None:
            tests.append(f"{column} = ?")
            values.append(c.equals)
        if c.one_of is not None:
            tests.append(f"{column} in ({', '.join('?' * len(c.one_of))})")
            values.extend(c.one_of)
        if c.at_least is not None:
            tests.append(f"{column} >= ?")
            values.append(c.at_least)
        if c.at_most is not None:
            tests.append(f"{column} <= ?")
            values.append(c.at_most)
    return " and ".join(tests)
