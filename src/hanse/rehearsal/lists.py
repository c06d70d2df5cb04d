"""The public lists of places of a rehearsal: what every party holds, and the contract's clauses about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanse.catalog.gazetteers import Gazetteer, from_table, read_gazetteer
from hanse.contracts import Library
from hanse.errors import Fault
from hanse.rehearsal.tables import Table, arrow_of

_NAME = re.compile("[a-z0-9][a-z0-9_-]{1,63}")


class Lists:
    """Gazetteers by the name that the contract gives them."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Gazetteer, tuple[str, ...]]] = {}

    def add(self, name: str, table: Table | Gazetteer, excluded: Sequence[str]) -> Gazetteer:
        """Take in a list; see `Federation.places`."""
        if not _NAME.fullmatch(name) or name in self._held:
            raise Fault(
                "rehearsal.places",
                f"{name!r} cannot be the name of a list of places, or there is one already",
                remedy="give it another name: 2 to 64 small letters, digits, hyphens and underscores",
            )
        if isinstance(table, Gazetteer):
            found = table
        elif isinstance(table, str | Path):
            found = read_gazetteer(Path(table), name)
        else:
            found = from_table(arrow_of(table, name), name)
        self._held[name] = found, tuple(excluded)
        return found

    def library(self) -> Library:
        """What every party of the rehearsal holds."""
        return Library.of(*(found for found, _ in self._held.values()))

    def clauses(self) -> list[dict[str, Any]]:
        """The contract's ``[[gazetteers]]``."""
        return [
            {"name": name, "places": len(found), "digest": found.digest, "excluded": list(excluded)}
            for name, (found, excluded) in self._held.items()
        ]
