"""Joined rows of a model on shares: bits as they were uploaded, turned into numbers.

Rows that are dummies of the join, or empty, are zero in every column, the intercept's too: they weigh nothing in
any sum, and no seat can tell which they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned, Layout, padded
from hanse.align.upload import compare_held
from hanse.engine.functions import ring_numbers
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Bits, Ring, join_elements, octets
from hanse.entropy import Entropy
from hanse.errors import Fault
from hanse.learn.linear.families import Family
from hanse.learn.linear.plan import LOG_BITS, Plan
from hanse.wire import Channel

_AT_ONCE = 1 << 22  # numbers turned at a time: more take gigabytes
_U64 = np.dtype("<u8")


@dataclass(frozen=True, repr=False)
class Rows:
    """Columns [width, rows], whether there is somebody [rows], label [rows];
    of a Poisson label also y log y and the first response. What is one bit is kept as a bit too.
    """

    columns: Ring
    here: Ring
    label: Ring
    entropy: Ring | None
    start: Ring | None
    here_bit: Bits  # [words]
    label_bit: Bits  # [words]; of a label of one bit

    @property
    def count(self) -> int:
        return int(self.columns.shape[1])


# --- at a provider ----------------------------------------------------------------------------------


def packed(
    ids: U64, shared: NDArray[np.float64], label: NDArray[np.float64] | None, family: Family,
    layout: Layout, capacity: int, entropy: Entropy,
) -> U64:  # fmt: skip
    """A provider's rows as they are uploaded, sorted by id; columns in the basis in which they are shared."""
    order = np.argsort(ids)
    rows = np.zeros((ids.size, layout.width), np.uint64)
    for number in range(shared.shape[1]):
        name = f"x{number}"
        layout.fill(rows, name, _signed(shared[order, number], family.x, family.column_bits, name))
    if label is not None:
        y = label[order]
        layout.fill(rows, "here", np.ones(ids.size, np.uint64))
        if family.label_bits == 1:
            layout.fill(rows, "label", y.astype(np.uint64))
        else:
            layout.fill(rows, "label", _signed(y, family.mean, family.label_bits, "label"))
        if family.name == "poisson":
            layout.fill(rows, "entropy", _signed(entropy_of(y), family.mean, LOG_BITS, "label"))
            layout.fill(rows, "start", _signed(start_of(y), family.mean, LOG_BITS, "label"))
    return padded(ids[order], rows, capacity, layout, entropy)


def _signed(values: NDArray[np.float64], fraction: int, bits: int, name: str) -> U64:
    """Two's complement of ``bits`` bits."""
    scaled = np.rint(values * float(1 << fraction))
    if not (np.abs(scaled) < 1 << (bits - 1)).all():
        raise Fault("learn.range", f"a value of {name} does not fit {bits} bits")
    return np.asarray(scaled.astype(np.int64).view(np.uint64) & np.uint64((1 << bits) - 1))


def entropy_of(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """y log y, which a deviance wants."""
    return np.asarray(y * np.log(np.where(y > 0, y, 1.0)))


def start_of(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """w log w + y - w for w = (y + 1) / 2: the weighted response of a first step from means of w, not of 1."""
    w = (y + 1) / 2
    return np.asarray(w * np.log(w) + y - w)


def send_matrix(channel: Channel, name: str, values: U64, entropy: Entropy) -> None:
    """Share ring elements with the seats, roles 0 to 2."""
    drawn = np.frombuffer(entropy.take(2 * values.nbytes), np.uint64).reshape(2, *values.shape)
    parts = [drawn[0], drawn[1], values - drawn[0] - drawn[1]]
    for seat in range(SEATS):
        channel.send(seat, f"matrix.{name}", np.stack([parts[seat], parts[(seat + 1) % SEATS]]))


# --- at the seats -----------------------------------------------------------------------------------


def receive_matrix(s: Session, role: int, name: str, shape: tuple[int, int]) -> Ring:
    """A seat's share of a provider's matrix; components are compared between their holders."""
    both = s.channel.receive(role, f"matrix.{name}", _U64, (2, *shape))
    held = [hashlib.sha256(octets(part)).digest() for part in both]
    compare_held(s, f"matrix.{name}", (held[0], held[1]), name, "shares of one matrix")
    return Ring(both[0], both[1])


def rows_of(s: Session, people: Aligned, plan: Plan) -> Rows:
    """Everybody's columns beside each other, in the order of providers, the intercept first."""
    family, label_party = plan.family, plan.label_party
    names = [(p.name, f"x{c}") for p in plan.providers for c in range(p.columns)]
    batch = max(1, _AT_ONCE // max(1, people.people))
    parts = []
    for first in range(0, len(names), batch):
        planes = [people.field(*name) for name in names[first : first + batch]]
        parts.append(_numbers(s, planes, f"columns.{first}"))
    present = people.field(label_party, "here")
    here = ring_numbers(s, present[:, None], "here")
    y = people.field(label_party, "label")
    label = (
        ring_numbers(s, y[:, None], "label")
        if family.label_bits == 1
        else _numbers(s, [y], "label")
    )
    columns = join_elements([here.times(1 << family.x), *parts])
    entropy = start = None
    if family.name == "poisson":
        logs = [people.field(label_party, name) for name in ("entropy", "start")]
        both = _numbers(s, logs, "logs")
        entropy, start = both[0], both[1]
    return Rows(columns, here[0], label[0], entropy, start, present[0], y[0])


def _numbers(s: Session, fields: list[Bits], step: str) -> Ring:
    """Two's complement fields [bits, words] as elements [fields, rows]: half the range is added and taken off."""
    bits = fields[0].shape[0]
    planes = Bits(
        np.stack([f.left for f in fields], axis=1), np.stack([f.right for f in fields], axis=1),
        fields[0].rows,
    )  # fmt: skip
    flipped = s.invert(planes[bits - 1])
    planes.left[bits - 1], planes.right[bits - 1] = flipped.left, flipped.right
    raised = ring_numbers(s, planes, step)
    half = s.public_ring(1 << (bits - 1))
    return Ring(raised.left - half.left, raised.right - half.right)
