"""Refusals in the ledger, bounded: a partner that asks in vain again and again cannot fill it.

The first `ONE_BY_ONE` refusals of a party and reason (the error's code) within an hour stand one by one, each with
its job. Those that follow are counted, and stand as one entry with their count when the hour is over or the node
stops; a node that is killed loses the counts of that hour, never an entry. Texts are cut at `MOST_CHARACTERS`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.ledger.chain import Ledger

ONE_BY_ONE = 20
WINDOW = timedelta(hours=1)
MOST_CHARACTERS = 4000  # of an error's text: what a partner sent may be repeated in it


@dataclass
class _Hour:
    """What was refused of a party for a reason since ``began``; ``counted`` have no entry of their own."""

    began: datetime
    noted: int = 0
    counted: int = 0
    first: datetime | None = None
    last: datetime | None = None
    said: HanseError | None = None


class Refusals:
    """The refusals of one node. Thread-safe."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._hours: dict[tuple[str, str], _Hour] = {}
        self._lock = threading.Lock()

    def note(self, analyst: str, job: str, error: HanseError) -> None:
        """Write down that ``error`` was the answer to ``analyst``; ``job`` is "" before a request was read."""
        now = self._clock.now()
        with self._lock:
            self._settle(now - WINDOW)
            hour = self._hours.setdefault((analyst, error.code), _Hour(now))
            if hour.noted < ONE_BY_ONE:
                self._ledger.append("refusal", {"job": job, "analyst": analyst, **_told(error)})
                hour.noted += 1
                return
            hour.counted += 1
            hour.first, hour.last, hour.said = hour.first or now, now, error

    def settle(self, *, everything: bool = False) -> None:
        """Write down the counts of hours that are over, or of all. Raises what the ledger's store raises."""
        now = self._clock.now()
        with self._lock:
            self._settle(now if everything else now - WINDOW)

    def _settle(self, until: datetime) -> None:
        for (analyst, code), hour in list(self._hours.items()):
            if hour.began > until:
                continue
            if hour.said is not None and hour.first is not None and hour.last is not None:
                self._ledger.append(
                    "refusal",
                    {"job": "", "analyst": analyst, **_told(hour.said), "count": hour.counted,
                     "first": hour.first.isoformat(), "last": hour.last.isoformat()},
                )  # fmt: skip
            del self._hours[analyst, code]


def _told(error: HanseError) -> dict[str, str]:
    return {name: text[:MOST_CHARACTERS] for name, text in error.public().items()}
