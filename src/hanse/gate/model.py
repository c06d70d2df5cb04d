"""The way out for models: a bit an iteration to the seats, at the end numbers to the one party they are for.

Reveals: what each function says, and writes into the gate's record before it happens. A model about people needs
their authorisation: coefficients and metrics are exact, so that what they tell is not bounded by noise.
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanse.engine.boolean import all_rows
from hanse.engine.reveal import open_bits, receive_ring, send_ring
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring
from hanse.gate.record import Opening, Record
from hanse.wire import Channel

SEATS_SEE = ("seats",)


def open_whether_all(s: Session, record: Record, x: Bits, what: str, step: str) -> bool:
    """Whether every row of the plane [words] is 1, told to the three seats: one bit."""
    s = s.fork(step)
    verdict = all_rows(s, x)
    record.write(Opening(step, what, SEATS_SEE, 1))
    settled = bool(int(open_bits(s, verdict, "open")[0]) & 1)
    record.complete(step, {what: settled})
    return settled


def note_keys(record: Record, step: str, parties: Sequence[str], rows: int) -> None:
    """That parties showed one another the keys of their rows: no share is opened, but it is seen."""
    what = "the keys of their rows, by all parties to one another, and so which rows match"
    record.write(Opening(step, what, tuple(parties), rows, seen={"rows in common": rows}))


def note_places(record: Record, step: str, sizes: Mapping[str, int]) -> None:
    """That seats are told how many rows each party has and which of them match, by their places in its list."""
    what = "how many rows each party has, and the places in its list of those that match"
    record.write(Opening(step, what, SEATS_SEE, sum(sizes.values()), seen=dict(sizes)))


def send_numbers(
    channel: Channel, record: Record, x: Ring, what: str, to: tuple[int, str], step: str
) -> None:
    """A seat's part of opening elements [n] to one role, ``to`` = (role, name), and to nobody else."""
    role, name = to
    record.write(Opening(step, what, (name,), x.size))
    send_ring(channel, x, role, step)


def read_numbers(channel: Channel, count: int, step: str) -> U64:
    """The recipient's part: elements [count], checked between the seats that hold each component."""
    return receive_ring(channel, (count,), step)
