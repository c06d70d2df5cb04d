"""The table of protocols: how each is fed, its plain twin, and the parameters of its declared cost.

`check` runs one protocol on shares at three seats and compares value, bytes and rounds. Rounds are counted
twice: by the session's own meter, and as the longest chain of messages (`Rounds`), which no protocol can
forget to count. Bits travel in words of 64 rows, so a boolean protocol's rows are rounded up to whole words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.engine import (
    add,
    arithmetic,
    boolean,
    compare,
    count,
    fixed,
    multiply,
    prf,
    programmed,
    shuffle,
)
from hanse.engine.costs import declared
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, Words, join_planes, words_for
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.wire import Array, Channel
from secret_stage import SEATS, Dealer, digits, opened

Plain = NDArray[Any]
SIMON_KEY = [0x03020100, 0x0B0A0908, 0x13121110, 0x1B1A1918]


def equal(got: Plain, want: Plain) -> bool:
    return got.shape == want.shape and bool((got == want).all())


def same_rows(got: Plain, want: Plain) -> bool:
    return got.shape == want.shape and sorted(map(tuple, got)) == sorted(map(tuple, want))


def within_one(got: Plain, want: Plain) -> bool:
    """``want`` is the floor; the next integer is as good."""
    step = (got - want).view(np.int64)
    return got.shape == want.shape and bool(((step == 0) | (step == 1)).all())


@dataclass(frozen=True)
class Entry:
    """One protocol. ``takes`` names its inputs: ring | half (below 2**62) | flag | bits:N | words:N."""

    name: str
    protocol: Callable[..., Any]  # carries the declared cost
    takes: tuple[str, ...]
    run: Callable[..., Ring | Bits | Words]
    twin: Callable[..., Plain]
    items: Callable[[int], int]  # of the cost, for so many rows
    parameters: Callable[[int], dict[str, float]] = lambda _rows: {}
    exact: bool = True  # the declared cost is met to the byte, not only an upper bound
    agrees: Callable[[Plain, Plain], bool] = equal
    prepare: Callable[[Session, int], Any] | None = None  # public or random, not part of the cost
    empty: bool = True
    rows_at_most: int = 1 << 40


class Rounds:
    """The longest chain of messages so far, seen from each seat (a message is one longer than what its
    sender had received before)."""

    def __init__(self) -> None:
        self.depth = [0] * SEATS
        self._sent: dict[tuple[int, int, int], int] = {}
        self._next = {(a, b): 0 for a in range(SEATS) for b in range(SEATS)}
        self._read = dict(self._next)

    def watch(self, s: Session) -> None:
        s.channel = _Watched(s.channel, self)

    def note_sent(self, source: int, target: int) -> None:
        number = self._next[source, target]
        self._next[source, target] = number + 1
        self._sent[source, target, number] = self.depth[source] + 1

    def note_received(self, source: int, target: int) -> None:
        number = self._read[source, target]
        self._read[source, target] = number + 1
        self.depth[target] = max(self.depth[target], self._sent[source, target, number])


class _Watched:
    def __init__(self, channel: Channel, rounds: Rounds) -> None:
        self.role = channel.role
        self._channel, self._rounds = channel, rounds

    def send(self, to: int, step: str, array: Array) -> None:
        self._rounds.note_sent(self.role, to)
        self._channel.send(to, step, array)

    def receive(self, source: int, step: str, dtype: Any, shape: tuple[int, ...]) -> Array:
        array = self._channel.receive(source, step, dtype, shape)
        self._rounds.note_received(source, self.role)
        return array


def deal(dealer: Dealer, kind: str, values: Plain) -> list[Any]:
    name, _, size = kind.partition(":")
    if name == "bits":
        return dealer.bits(values, int(size))
    return dealer.words(values) if name == "words" else dealer.ring(values)


@dataclass(frozen=True)
class Measured:
    value: Plain
    rounds: int
    metered_rounds: int
    bytes: int


def measure(entry: Entry, inputs: list[Plain], seed: int) -> list[Measured]:
    """Run the protocol on shares of ``inputs``; every seat's opened value and cost."""
    dealer = Dealer(seed)
    shares = [deal(dealer, kind, v) for kind, v in zip(entry.takes, inputs, strict=True)]
    rounds = Rounds()

    def protocol(s: Session) -> Measured:
        extra = [] if entry.prepare is None else [entry.prepare(s, inputs[0].shape[0])]
        rounds.watch(s)
        meter = s.meter
        before = meter.bytes, meter.rounds
        secret = entry.run(s, *[share[s.seat] for share in shares], *extra)
        cost = rounds.depth[s.seat], meter.rounds - before[1], meter.bytes - before[0]
        return Measured(opened(s, secret), *cost)

    return on_stage(protocol, seed=f"{entry.name}|{seed}")


def check(entry: Entry, inputs: list[Plain], seed: int = 0, *, waves: int = 1) -> None:
    """The value is the twin's, the cost is the declared one (rounds: per wave of rows)."""
    rows = inputs[0].shape[0]
    seats = measure(entry, inputs, seed)
    want = entry.twin(*inputs)
    for seat in seats:
        assert entry.agrees(seat.value, want), f"{entry.name} differs from its twin"
    rounds, per_item = declared(entry.protocol, **entry.parameters(rows))
    rounds *= waves
    sent = max(seat.bytes for seat in seats)
    depth = max(seat.rounds for seat in seats)
    allowed = per_item * entry.items(rows)
    assert depth <= rounds, f"{entry.name}: {depth} rounds, declared {rounds}"
    assert max(seat.metered_rounds for seat in seats) <= rounds
    assert sent <= allowed + 1e-6, f"{entry.name}: {sent} bytes, declared {allowed}"
    if entry.exact and rows:
        assert (depth, sent) == (rounds, round(allowed)), entry.name


# --- plain twins --------------------------------------------------------------------------------


def simon(texts: NDArray[np.uint64], key: list[int]) -> NDArray[np.uint64]:
    """SIMON-64/128 straight from its specification, many blocks at once; shares no code with the engine."""
    z3 = 0b11011011101011000110010111100000010010001010011100110100001111
    mask = (1 << 32) - 1

    def right(x: int, by: int) -> int:
        return ((x >> by) | (x << (32 - by))) & mask

    keys = list(key)
    for i in range(4, 44):
        t = right(keys[i - 1], 3) ^ keys[i - 3]
        t ^= right(t, 1)
        keys.append((~keys[i - 4] & mask) ^ t ^ (z3 >> (61 - (i - 4) % 62) & 1) ^ 3)

    def left(x: NDArray[np.uint32], by: int) -> NDArray[np.uint32]:
        return (x << np.uint32(by)) | (x >> np.uint32(32 - by))

    x, y = (texts >> np.uint64(32)).astype(np.uint32), texts.astype(np.uint32)
    for k in keys:
        x, y = y ^ (left(x, 1) & left(x, 8)) ^ left(x, 2) ^ np.uint32(k), x
    return x.astype(np.uint64) << np.uint64(32) | y.astype(np.uint64)


def fold(less: Plain, same: Plain, bits: int) -> Plain:
    """Digits (low first) of (less, equal) to one bit per row."""
    low, result = digits(less, bits), digits(less, bits)[0]
    for bit in range(1, bits):
        result = low[bit] ^ (digits(same, bits)[bit] & result)
    return result


def plane(condition: Plain) -> Plain:
    return np.asarray(condition).astype(np.uint8)


def with_borrow(difference: Bits, borrow: Bits) -> Bits:
    return join_planes([difference, borrow[None]])


def part_and_whole(x: Bits, y: Bits) -> tuple[Bits, Bits]:
    """A part and a whole that is never smaller: x in the odd bits of both, y in the even ones of the whole."""
    zero = np.zeros_like(x.left)
    part, whole = (
        Bits(*(np.stack([low, high], 1).reshape(8, -1) for low, high in sides), x.rows)
        for sides in (
            ((zero, x.left), (zero, x.right)),
            ((y.left, x.left), (y.right, x.right)),
        )
    )
    return part, whole


def shares_of(x: Plain, y: Plain) -> Plain:
    """The twin of `divide_bits` on those; of nothing everything is a share."""

    def spread(v: Plain) -> Plain:
        return sum(((v >> np.uint64(i)) & np.uint64(1)) << np.uint64(2 * i) for i in range(4))  # type: ignore[return-value]

    part = spread(x) << np.uint64(1)
    whole = part + spread(y)
    found = np.where(whole == 0, 127, (part << np.uint64(6)) // np.maximum(whole, np.uint64(1)))
    return digits(found, 7)


def known_key(s: Session, _rows: int) -> prf.SecretKey:
    """The test vector's key in component 0."""
    zero = [0] * 4
    return prf.share_of_key(
        s, SIMON_KEY if s.seat == 0 else zero, SIMON_KEY if s.seat == 2 else zero
    )


def one_row(x: Ring) -> Ring:
    return x.reshape(1, -1)


PLACES, SLOTS = 5, 2


def place_codes(rows: int) -> NDArray[np.int64]:
    """Codes [rows, slots]: nowhere, one place, or two different ones; the fourth place stays empty."""
    row = np.arange(rows)
    first = np.array([0, 1, 2, 3, 5])[row % 5]
    return (
        np.stack([first, np.where(row % 3 == 0, 0, first % 2 + 1)], axis=1) * (row % 7 > 0)[:, None]
    )


def program_of(seat: int, codes: Plain, places: int, seed: str = "program") -> programmed.Program:
    """What a seat holds of an honest owner's program."""
    shape = programmed.Shape(codes.shape[0], codes.shape[1], places)
    entropy = SeededEntropy(seed)
    parts = []
    for order in programmed.orders(codes, shape):
        factors = programmed.factored(order, entropy)
        seeds = dict(enumerate(factors.seeds))
        parts.append(programmed.assembled(seat, seeds, factors.last, shape.entries))
    return programmed.Program(shape, *parts)


def by_place(bits: Plain, codes: Plain, places: int, columns: int) -> Plain:
    """Sums per place, row by row."""
    out = np.zeros((places, columns), np.uint64)
    for row, named in zip(bits[:, 0].tolist(), codes.tolist(), strict=True):
        for code in named:
            if code:
                out[code - 1] += np.array([row >> c & 1 for c in range(columns)], np.uint64)
    return out


def place_costs(columns: int) -> Callable[[int], dict[str, float]]:
    return lambda rows: {
        "columns": columns, "places": PLACES, "waves": 1, "entries": rows * SLOTS + PLACES
    }  # fmt: skip


# --- the table ----------------------------------------------------------------------------------

Rows = Callable[[int], int]
ELEMENTS: Rows = lambda rows: rows  # noqa: E731
WHOLE_WORDS: Rows = lambda rows: 64 * words_for(rows)  # noqa: E731


def planes(number: int) -> Callable[[int], dict[str, float]]:
    depth = ceil(log2(number)) if number > 1 else 0
    return lambda _rows: {"planes": number, "log2planes": depth, "bits": number, "log2bits": depth}


def few_or_many(bits: int) -> Callable[[int], dict[str, float]]:
    def parameters(rows: int) -> dict[str, float]:
        many = rows >= compare.RIPPLE_ROWS
        return planes(bits)(rows) | {"many": float(many), "few": float(not many)}

    return parameters


def words(rows: int) -> dict[str, float]:
    number = max(1, words_for(rows))
    return {"words": number, "log2words": ceil(log2(number)), "rows": max(64, 64 * number)}


_add, _values = 0b1011_0110_1100, 5
BOOLEAN = [
    Entry("and", boolean.and_, ("bits:8", "bits:8"), boolean.and_,
          lambda x, y: digits(x & y, 8), WHOLE_WORDS, planes(8)),
    Entry("and broadcast", boolean.and_, ("bits:1", "bits:8"), boolean.and_,
          lambda x, y: digits(np.where(x & 1, y, 0), 8), WHOLE_WORDS, planes(8)),
    Entry("or", boolean.or_, ("bits:8", "bits:8"), boolean.or_,
          lambda x, y: digits(x | y, 8), WHOLE_WORDS, planes(8)),
    Entry("choose", boolean.choose, ("bits:1", "bits:8", "bits:8"), boolean.choose,
          lambda c, x, y: digits(np.where(c & 1, x, y), 8), WHOLE_WORDS, planes(8)),
    Entry("mux_step", boolean.mux_step, ("bits:8", "bits:8", "bits:8"),
          lambda s, c, x, y: boolean.mux_step(s, c, x, y, "mux"),
          lambda c, x, y: digits(c & ~(x ^ y) | y & (x ^ y), 8), WHOLE_WORDS, planes(8)),
    Entry("all_planes", boolean.all_planes, ("bits:7",), boolean.all_planes,
          lambda x: plane(x == 127), WHOLE_WORDS, planes(7), exact=False),
    Entry("any_plane", boolean.any_plane, ("bits:7",), boolean.any_plane,
          lambda x: plane(x != 0), WHOLE_WORDS, planes(7), exact=False),
    Entry("any_plane of one", boolean.any_plane, ("bits:1",), boolean.any_plane,
          lambda x: plane(x != 0), WHOLE_WORDS, planes(1), exact=False),
    Entry("all_rows", boolean.all_rows, ("bits:1",), lambda s, x: boolean.all_rows(s, x[0]),
          lambda x: plane(np.array([(x == 1).all()])), WHOLE_WORDS, words, exact=False, empty=False),
    Entry("one_hot", boolean.one_hot, ("bits:3",), lambda s, x: boolean.one_hot(s, x, _values),
          lambda x: plane(x[None, :] == np.arange(_values)[:, None]), WHOLE_WORDS,
          lambda _rows: {"bits": 3, "values": _values}, exact=False),
]  # fmt: skip
COMPARE = [
    Entry("less_than_bits", compare.less_than_bits, ("bits:12", "bits:12"), compare.less_than_bits,
          lambda x, y: plane(x < y), WHOLE_WORDS, few_or_many(12), exact=False),
    Entry("ripple_less_than", compare.ripple_less_than, ("bits:12", "bits:12"), compare.ripple_less_than,
          lambda x, y: plane(x < y), WHOLE_WORDS, planes(12)),
    Entry("tree_less_than", compare.tree_less_than, ("bits:12", "bits:12"), compare.tree_less_than,
          lambda x, y: plane(x < y), WHOLE_WORDS, planes(12), exact=False),
    Entry("tree_less_than of 64", compare.tree_less_than, ("bits:64", "bits:64"), compare.tree_less_than,
          lambda x, y: plane(x < y), WHOLE_WORDS, planes(64), exact=False),
    Entry("combine", compare.combine, ("bits:9", "bits:9"), lambda s, x, y: compare.combine(s, x, y, "fold"),
          lambda x, y: fold(x, y, 9), WHOLE_WORDS, planes(9), exact=False),
    Entry("equal_bits", compare.equal_bits, ("bits:12", "bits:12"), compare.equal_bits,
          lambda x, y: plane(x == y), WHOLE_WORDS, planes(12), exact=False),
    Entry("add_bits", add.add_bits, ("bits:12", "bits:12"), add.add_bits,
          lambda x, y: digits(x + y, 13), WHOLE_WORDS, planes(12)),
    Entry("add_many", add.add_many, ("bits:5",) * 5,
          lambda s, *x: add.add_many(s, Bits(np.stack([b.left for b in x], 1), np.stack([b.right for b in x], 1),
                                             x[0].rows)),
          lambda *x: digits(sum(x, np.zeros_like(x[0])), 8), WHOLE_WORDS,
          lambda _rows: {"numbers": 5, "log2numbers": 3, "bits": 8}, exact=False),
    Entry("subtract_bits", arithmetic.subtract_bits, ("bits:12", "bits:12"),
          lambda s, x, y: with_borrow(*arithmetic.subtract_bits(s, x, y)),
          lambda x, y: np.concatenate([digits(x - y, 12), plane(x < y)[None]]), WHOLE_WORDS, planes(12)),
    Entry("sum_planes", arithmetic.sum_planes,
          ("bits:5", "bits:7", "bits:1", "bits:6", "bits:7", "bits:7", "bits:3"),
          lambda s, *x: arithmetic.sum_planes(s, x, 10), lambda *x: digits(sum(x, np.zeros_like(x[0])), 10),
          WHOLE_WORDS, lambda _rows: {"numbers": 7, "log2numbers": 3, "bits": 10}, exact=False),
    Entry("sum_planes modulo", arithmetic.sum_planes, ("bits:5", "bits:5"),
          lambda s, *x: arithmetic.sum_planes(s, x, 4), lambda x, y: digits(x + y, 4),
          WHOLE_WORDS, lambda _rows: {"numbers": 2, "log2numbers": 1, "bits": 5}, exact=False),
    Entry("multiply_bits", arithmetic.multiply_bits, ("bits:7", "bits:5"), arithmetic.multiply_bits,
          lambda x, y: digits(x * y, 12), WHOLE_WORDS,
          lambda _rows: {"one": 7, "other": 5, "log2other": 3, "bits": 12}, exact=False),
    Entry("divide_bits", arithmetic.divide_bits, ("bits:4", "bits:4"),
          lambda s, x, y: arithmetic.divide_bits(s, *part_and_whole(x, y), 6), shares_of, WHOLE_WORDS,
          lambda _rows: {"fraction": 6, "bits": 8}),
    Entry("add_public", compare.add_public, ("bits:12",), lambda s, x: compare.add_public(s, x, _add),
          lambda x: digits(x + np.uint64(_add), 12), WHOLE_WORDS, planes(12), exact=False),
    Entry("add_public of zero", compare.add_public, ("bits:12",), lambda s, x: compare.add_public(s, x, 0),
          lambda x: digits(x, 12), WHOLE_WORDS, planes(12), exact=False),
    Entry("sign_bit", compare.sign_bit, ("ring",), compare.sign_bit,
          lambda x: plane(x.view(np.int64) < 0), WHOLE_WORDS, few_or_many(64), exact=False),
    Entry("bits_of", compare.bits_of, ("ring",), compare.bits_of,
          lambda x: digits(x, 64), WHOLE_WORDS, exact=False),
    Entry("less_than", compare.less_than, ("half", "half"), compare.less_than,
          lambda x, y: plane(x.view(np.int64) < y.view(np.int64)), WHOLE_WORDS, few_or_many(64), exact=False),
    Entry("ring_bits", compare.ring_bits, ("bits:3",), compare.ring_bits,
          lambda x: digits(x, 3).astype(np.uint64), lambda rows: 3 * rows),
    Entry("select", compare.select, ("flag", "ring", "ring"), compare.select,
          lambda c, x, y: np.where(c == 1, x, y), ELEMENTS),
]  # fmt: skip
ARITHMETIC = [
    Entry("multiply", multiply.multiply, ("ring", "ring"), multiply.multiply, lambda x, y: x * y, ELEMENTS),
    Entry("dot", multiply.dot, ("ring", "ring"), lambda s, x, y: multiply.dot(s, one_row(x), one_row(y)),
          lambda x, y: (x * y).sum(keepdims=True, dtype=np.uint64), ELEMENTS,
          lambda rows: {"rows": rows}, empty=False),
    Entry("matmul outer", multiply.matmul, ("ring", "ring"),
          lambda s, x, y: multiply.matmul(s, x.reshape(-1, 1), one_row(y)),
          lambda x, y: x[:, None] * y[None, :], lambda rows: rows * rows, rows_at_most=130),
    Entry("matmul inner", multiply.matmul, ("ring", "ring"),
          lambda s, x, y: multiply.matmul(s, one_row(x), y.reshape(-1, 1)),
          lambda x, y: (x * y).sum(dtype=np.uint64).reshape(1, 1), lambda _rows: 1),
    Entry("truncate", fixed.truncate, ("half",), lambda s, x: fixed.truncate(s, x, 13),
          lambda x: (x.view(np.int64) >> 13).view(np.uint64), ELEMENTS, agrees=within_one),
    Entry("count_rows", count.count_rows, ("bits:3",), count.count_rows,
          lambda x: digits(x, 3).sum(axis=1, dtype=np.uint64), lambda _rows: 3, words, exact=False),
]  # fmt: skip
TABLES = [
    Entry("shuffle", shuffle.shuffle, ("words:2",), shuffle.shuffle, lambda x: x, ELEMENTS,
          lambda _rows: {"width": 2}, agrees=same_rows, prepare=shuffle.secret_permutation),
    Entry("unshuffle", shuffle.unshuffle, ("words:2",), shuffle.unshuffle, lambda x: x, ELEMENTS,
          lambda _rows: {"width": 2}, agrees=same_rows, prepare=shuffle.secret_permutation),
    Entry("shuffle_sums", shuffle.shuffle_sums, ("ring",),
          lambda s, x, by: shuffle.shuffle_sums(s, x.reshape(-1, 1), by, x.size), lambda x: x[:, None], ELEMENTS,
          lambda rows: {"width": 1, "first": rows, "rows": max(1, rows)}, agrees=same_rows,
          prepare=shuffle.secret_permutation),
    Entry("sentinels", programmed.sentinels, ("words:1",),
          lambda s, x, program: programmed.sentinels(s, program),
          lambda x: np.flatnonzero(programmed.orders(place_codes(x.shape[0]), programmed.Shape(
              x.shape[0], SLOTS, PLACES))[0] >= x.shape[0] * SLOTS).astype(np.uint64),
          lambda rows: rows * SLOTS + PLACES, place_costs(1), exact=False,
          prepare=lambda s, rows: program_of(s.seat, place_codes(rows), PLACES)),
    Entry("sums_by_place", programmed.sums_by_place, ("words:1",),
          lambda s, x, program: programmed.sums_by_place(s, x, 3, program),
          lambda x: by_place(x, place_codes(x.shape[0]), PLACES, 3),
          lambda rows: rows * SLOTS + PLACES, place_costs(3), exact=False,
          prepare=lambda s, rows: program_of(s.seat, place_codes(rows), PLACES)),
    Entry("tags", prf.tags, ("words:2",), prf.tags, lambda x: digits(simon(x[:, 0], SIMON_KEY), 64),
          WHOLE_WORDS, prepare=known_key),
]  # fmt: skip
TABLE = [*BOOLEAN, *COMPARE, *ARITHMETIC, *TABLES]
