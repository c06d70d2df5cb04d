"""What an example of a computation is: a question and the tables of its parties, small and made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExampleTable:
    """A party's Arrow table; ``columns`` maps contract names to source columns, ``time`` orders its events."""

    dataset: str
    provider: str
    table: Any
    id: str
    time: str | None
    columns: Mapping[str, str]
    gazetteers: Mapping[str, str] = field(default_factory=dict)  # place column -> list of places


@dataclass(frozen=True)
class Example:
    """A question that a computation answers over these tables; at ``k`` some figures pass and some do not."""

    parameters: Mapping[str, Any]
    tables: tuple[ExampleTable, ...]
    k: int = 20
    epsilon: float = 2.0
    places: Mapping[str, Any] = field(
        default_factory=dict
    )  # lists of places by name, as Arrow tables
