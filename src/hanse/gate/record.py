"""The gate's own record of one job at one node: what was opened, to whom, and at what price.

Everything that opens goes through a function of this room, and each of them writes here first; the
disclosure report is made from this record and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hanse.wire import digest


@dataclass(frozen=True)
class Opening:
    """One opening: ``what`` in plain words, to whom, how many values, under which privacy."""

    step: str
    what: str
    to: tuple[str, ...]
    values: int
    epsilon: float = 0.0
    delta: float = 0.0
    seen: dict[str, Any] = field(default_factory=dict)  # what the opening itself shows, if anything

    def body(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "what": self.what,
            "to": list(self.to),
            "values": self.values,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "seen": self.seen,
        }


class Record:
    """An append-only list of openings. Equal at honest seats, so its digest can be compared."""

    def __init__(self) -> None:
        self._openings: list[Opening] = []

    def write(self, opening: Opening) -> None:
        """Note an opening, before it happens."""
        self._openings.append(opening)

    def complete(self, step: str, seen: dict[str, Any]) -> None:
        """Add what an opening turned out to show to the entry that was written before it."""
        for number, opening in enumerate(self._openings):
            if opening.step == step:
                self._openings[number] = replace(opening, seen=seen)

    @property
    def openings(self) -> tuple[Opening, ...]:
        return tuple(self._openings)

    def public(self) -> Record:
        """The record as everybody may read it: without what an opening showed to the seats alone."""
        copy = Record()
        for opening in self._openings:
            copy.write(replace(opening, seen={}))
        return copy

    def body(self) -> list[dict[str, Any]]:
        """For the ledger and the disclosure report."""
        return [o.body() for o in self._openings]

    def digest(self) -> str:
        """SHA-256 over the canonical record."""
        return digest(self.body())
