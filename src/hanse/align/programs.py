"""A provider's programs on their way to the seats, and secret bits on their way back into its row order.

A provider that knows where its people are *programs* two permutations for a list of places (`engine.programmed`).
It hands each factor to the two seats that may hold it: those compare hashes and see that it is a permutation, and
all three see that the places are kept apart. A provider that sends anything else is named, before data are joined.
Reveals: to seats, how many rows, slots and places there are, all declared. Assumes: semi-honest seats, honest
majority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.align.join import Aligned
from hanse.align.layout import U64, Part
from hanse.align.upload import compare_held
from hanse.engine import kernels
from hanse.engine.masks import KEY_BYTES
from hanse.engine.programmed import (
    MOST_COLUMNS,
    Factors,
    Program,
    Shape,
    assembled,
    factored,
    is_permutation,
    orders,
    sentinels,
    sums_by_place,
)
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, Words, octets
from hanse.engine.shuffle import Order, Permutation, unshuffle
from hanse.engine.slicing import values_of
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul
from hanse.gate import opening
from hanse.gate.record import Record
from hanse.wire import Channel

_U8 = np.dtype("u1")
_U32 = np.dtype("<u4")
_HALVES = ("sort", "read")


@dataclass(frozen=True)
class Placement:
    """Where a provider's people are, as a plan wants it: at most ``slots`` of ``places`` listed places each.

    The provider's `Part` has it under ``name`` as `home` codes [people, slots]: 1 + the place, 0 for nowhere.
    """

    name: str
    slots: int
    places: int

    def shape(self, capacity: int) -> Shape:
        return Shape(capacity, self.slots, self.places)


# --- at the provider --------------------------------------------------------------------------------


def placed(parts: Iterable[Part], ids: U64, wanted: Placement) -> NDArray[np.int64]:
    """Codes [rows, slots] in the order of the padded rows, whose ids [rows] rise."""
    codes = np.zeros((ids.size, wanted.slots), np.int64)
    for part in parts:
        found = part.home.get(wanted.name)
        if found is not None:
            codes[np.searchsorted(ids, part.ids)] = found
    return codes


def send_programs(
    channel: Channel, seats: tuple[int, int, int], party: str, wanted: Iterable[Placement],
    parts: list[Part], ids: U64, entropy: Entropy,
) -> None:  # fmt: skip
    """Program and share every placement; ``ids`` [capacity] are those of the padded rows."""
    for placement in wanted:
        made = orders(placed(parts, ids, placement), placement.shape(ids.size))
        for half, order in zip(_HALVES, made, strict=True):
            step = f"program.{party}.{placement.name}.{half}"
            send_factors(channel, seats, step, factored(order, entropy))


def send_factors(
    channel: Channel, seats: tuple[int, int, int], step: str, factors: Factors
) -> None:
    """Each seat its two factors."""
    seeds = [np.frombuffer(seed, np.uint8) for seed in factors.seeds]
    channel.send(seats[0], f"{step}.seed0", seeds[0])
    channel.send(seats[0], f"{step}.seed1", seeds[1])
    channel.send(seats[1], f"{step}.seed1", seeds[1])
    channel.send(seats[1], f"{step}.rows", factors.last)
    channel.send(seats[2], f"{step}.rows", factors.last)
    channel.send(seats[2], f"{step}.seed0", seeds[0])


# --- at the seats -----------------------------------------------------------------------------------


def receive_programs(
    s: Session, record: Record, role: int, party: str, wanted: Iterable[Placement], capacity: int
) -> dict[str, Program]:
    """A seat's part of every program of the provider at ``role``, checked; `Foul` naming the provider."""
    programs = {}
    for placement in wanted:
        shape = placement.shape(capacity)
        name = f"program.{party}.{placement.name}"
        sort, read = (_factors(s, role, party, f"{name}.{h}", shape.entries) for h in _HALVES)
        program = Program(shape, sort, read)
        ends = sentinels(s.fork(f"{name}.ends"), program)
        opening.require_rising(s, record, ends, party, f"{name}.rising")
        programs[placement.name] = program
    return programs


def _factors(s: Session, role: int, party: str, step: str, rows: int) -> Permutation:
    channel = s.channel

    def seed(number: int) -> bytes:
        return channel.receive(role, f"{step}.seed{number}", _U8, (KEY_BYTES,)).tobytes()

    def last() -> Order:
        return np.asarray(channel.receive(role, f"{step}.rows", _U32, (rows,)))

    seeds: dict[int, bytes] = {}
    order: Order | None = None
    if s.seat == 0:
        seeds = {0: seed(0), 1: seed(1)}
        held = seeds[0], seeds[1]
    elif s.seat == 1:
        seeds = {1: seed(1)}
        order = last()
        held = seeds[1], hashlib.sha256(octets(order)).digest()
    else:
        order = last()
        seeds = {0: seed(0)}
        held = hashlib.sha256(octets(order)).digest(), seeds[0]
    compare_held(s, step, held, party, "programs")
    if order is not None and not is_permutation(order):
        raise Foul(
            "align.program",
            f"{party} sent an order of rows in which a row is missing or occurs twice",
            where=f"provider {party}",
            remedy=f"{party} must check its node, then the job can be rerun",
        )
    return assembled(s.seat, seeds, order, rows)


def brought_home(
    s: Session, people: Aligned, provider: str, bits: Bits, rows: int, step: str
) -> Words:
    """Bits [columns, words] of people as words [rows, 1] in the provider's own row order; zero for the others."""
    if bits.shape[0] > MOST_COLUMNS:
        raise Fault("align.columns", f"at most {MOST_COLUMNS} bits of a person go home at once")
    number = [t.provider for t in people.tables].index(provider)
    table = people.tables[number]
    if table.permutation is None:
        raise Fault("align.order", f"the order of the rows of {provider} was not kept")
    sides = []
    for side in (bits.left, bits.right):
        scattered = np.zeros((table.rows.rows, 1), np.uint64)
        kernels.scatter(
            values_of(side, people.people), people.groups.index[number], scattered[:, 0]
        )
        sides.append(scattered)
    # Behind the provider's own rows are the dummies, which the seats added.
    return unshuffle(s, Words(sides[0], sides[1]), table.permutation, step)[:rows]


def counts_by_place(
    s: Session, people: Aligned, provider: str, names: Iterable[str], bits: Bits, step: str
) -> list[Ring]:
    """For each named program of ``provider``: how many people have each bit at each place, [places, columns]."""
    programs = [people.programs[name] for name in names]
    home = brought_home(s, people, provider, bits, programs[0].shape.rows, f"{step}.home")
    return [
        sums_by_place(s, home, bits.shape[0], program, f"{step}.{number}")
        for number, program in enumerate(programs)
    ]
