"""How far a day is from usual, at each place: made by each holder at home, summed on shares, read by the owners.

 1. A holder compares the day (or its newest day of the week before) with the mean of earlier days of the same
    weekday, in its own checked numbers: one log change per place and day.
 2. It shares the changes with the seats, and tells them openly, per day, whether it has any (`Presence`).
 3. Seats add the changes of all holders. A day that fewer than two holders have becomes nothing before anything
    opens: a sum of one is that one's numbers.
 4. The sums leave under locks of all parties (`hanse.gate.scores`), to the owners of counters.
Reveals: to owners, per place and day, the sum over at least two holders; to seats and owners, which holder had
which day; to holders nothing. An owner that works together with all holders but one learns that one's changes.
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.crowds import LEAST_SIGNALS
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Ring, octets
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.learn.linear.keys import receive_elements, send_elements
from hanse.places.crowd.ground import Calendar
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import Signal
from hanse.places.crowd.replay import log_counts
from hanse.places.feeds.feed import Feed
from hanse.wire import Channel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
FRACTION = 2.0**24
MOST = 8.0  # a log change beyond this is no change but a fault
NONE, CARRIED, FRESH = 0, 1, 2  # what a holder has of a day
_BACK = 7
_HALF = 0.5  # so many of a holder's places must have a day
_U8 = np.dtype("u1")


@dataclass(frozen=True, eq=False)
class Changes:
    """One holder's: ``values`` float64 [days, places], 0 where it has none; ``presence`` uint8 [days]."""

    values: F64
    presence: U8


def changes_at_home(feed: Feed, as_of: object, days: Calendar, targets: I64, lag: int) -> Changes:
    """From a checked feed as known at the end of ``as_of``; ``targets`` are numbers of days in ``days``."""
    logs = log_counts(feed.known(as_of, days.days))
    finite = np.isfinite(logs)
    usual = max(1, int(finite.any(axis=1).sum()))
    whole = finite.sum(axis=0) >= _HALF * usual
    logs[:, ~whole] = np.nan
    signal, kernels = Signal(logs), Kernels(days)
    values = np.zeros((targets.size, logs.shape[0]))
    presence = np.zeros(targets.size, np.uint8)
    for row, target in enumerate(targets.tolist()):
        change = signal.change(kernels, target, lag)
        known = np.isfinite(change)
        if known.sum() >= _HALF * usual:
            values[row] = np.clip(np.where(known, change, 0.0), -MOST, MOST)
            presence[row] = FRESH if whole[target] else CARRIED
    return Changes(values, presence)


def nothing(targets: int, places: int) -> Changes:
    """Of a holder whose feed has nothing to say."""
    return Changes(np.zeros((targets, places)), np.zeros(targets, np.uint8))


# --- at a provider ------------------------------------------------------------------------------------


def tell_digest(
    channel: Channel, party: str, rows: Sequence[NDArray[np.generic]], nonce: bytes
) -> None:
    """Seats hold a keyed hash of the rows that a party brings, whether or not they leave its house."""
    whole = hashlib.sha256(b"hanse-crowd-rows-v1|" + nonce)
    for array in rows:
        whole.update(hashlib.sha256(octets(array)).digest())
    digest = np.frombuffer(whole.digest(), np.uint8)
    for seat in range(SEATS):
        channel.send(seat, f"rows.{party}", digest)


def share(channel: Channel, party: str, changes: Changes, entropy: Entropy) -> None:
    """A holder's presence and changes, to the seats (roles 0 to 2)."""
    for seat in range(SEATS):
        channel.send(seat, f"present.{party}", changes.presence)
    whole = np.rint(changes.values * FRACTION).astype(np.int64).view(np.uint64)
    send_elements(channel, party, "change", whole, entropy)


# --- at a seat ----------------------------------------------------------------------------------------


def add(s: Session, parties: Sequence[str], holders: Sequence[str], days: int, places: int) -> Ring:
    """The locked output [days * places + holders * days]: sums, then presence by holder.

    ``parties`` are roles 3, 4, ... of the session's channel, ``holders`` those of them with changes.
    """
    told = b""
    total = s.public_ring(np.zeros((days, places), np.uint64))
    present = np.zeros((len(holders), days), np.uint8)
    for number, party in enumerate(parties):
        role = SEATS + number
        told += s.channel.receive(role, f"rows.{party}", _U8, (32,)).tobytes()
        if party not in holders:
            continue
        row = holders.index(party)
        present[row] = s.channel.receive(role, f"present.{party}", _U8, (days,))
        total = total + receive_elements(s, role, party, "change", (days, places))
    if present.size and present.max() > FRESH:
        raise Foul("crowd.presence", "a holder tells an unknown kind of presence")
    s.check_equal("presence", told + present.tobytes(), "words of which days holders have")
    enough = ((present > NONE).sum(axis=0) >= LEAST_SIGNALS).astype(np.uint64)[:, None]
    kept = Ring(total.left * enough, total.right * enough)
    flags = s.public_ring(present.astype(np.uint64).reshape(-1))
    return Ring(
        np.concatenate([kept.left.reshape(-1), flags.left]),
        np.concatenate([kept.right.reshape(-1), flags.right]),
    )


# --- at an owner --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Received(Signal):
    """What an owner was told, as the model takes a signal: mean changes [places] by number of day.

    ``presence`` is the holders' word by party, uint8 [days] over ``targets``.
    """

    by_day: Mapping[int, F64]
    presence: Mapping[str, U8]
    targets: I64

    def change(self, kernels: Kernels, target: int, lag: int, today: int = -1) -> F64:  # noqa: ARG002
        """[places] of the day; not a number where fewer than two holders had it."""
        found = self.by_day.get(target)
        return np.full(self.logs.shape[0], np.nan) if found is None else found


def read(opened: U64, targets: I64, places: int, holders: Sequence[str]) -> Received | None:
    """The opened output as a signal; None if no day has one."""
    size = targets.size * places
    sums = opened[:size].view(np.int64).reshape(targets.size, places) / FRACTION
    present = opened[size:].reshape(len(holders), targets.size).astype(np.uint8)
    count = (present > NONE).sum(axis=0)
    by_day = {int(d): sums[n] / count[n] for n, d in enumerate(targets.tolist())
              if count[n] >= LEAST_SIGNALS}  # fmt: skip
    if not holders:
        return None
    return Received(
        np.zeros((places, 0)), by_day, {p: present[n] for n, p in enumerate(holders)}, targets
    )
