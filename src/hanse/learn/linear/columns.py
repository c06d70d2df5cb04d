"""Open rows of a model in batches: shared a column at a time, the next one when seats have put the last away.

So neither a party nor a seat has more than a few columns in memory, whatever the rows.
Reveals: what `keys.send_elements` does. Assumes: seats as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring
from hanse.entropy import Entropy
from hanse.learn.linear.keys import receive_elements, send_elements
from hanse.wire import Channel

_U8 = np.dtype("u1")
_AHEAD = 1  # columns on their way while one is put away


def send_columns(
    channel: Channel, name: str, part: str, columns: Iterable[U64], entropy: Entropy
) -> None:
    """At a party: columns [rows] of ring elements, one after another."""
    sent = 0
    for values in columns:
        if sent > _AHEAD:
            _wait(channel, name, part, sent - _AHEAD - 1)
        send_elements(channel, name, f"{part}.{sent}", values.reshape(1, values.size), entropy)
        sent += 1
    for number in range(max(0, sent - _AHEAD - 1), sent):
        _wait(channel, name, part, number)


def receive_columns(
    s: Session, role: int, name: str, part: str, count: int, into: tuple[Ring, Sequence[int]]
) -> None:
    """At a seat: its share of them, put into the given columns of larger shares, of ``count`` rows."""
    target, places = into
    for number, place in enumerate(places):
        receive_elements(s, role, name, f"{part}.{number}", (1, count), (target, [place]))
        s.channel.send(role, _kept(name, part, number), np.ones(1, _U8))


def _wait(channel: Channel, name: str, part: str, number: int) -> None:
    for seat in range(SEATS):
        channel.receive(seat, _kept(name, part, number), _U8, (1,))


def _kept(name: str, part: str, number: int) -> str:
    return f"kept.{name}.{part}.{number}"
