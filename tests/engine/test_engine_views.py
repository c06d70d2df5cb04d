"""What a seat is sent tells it nothing: uniform bytes, even for one who knows two of the three streams.

For each protocol and each seat, the shares and the mask streams that this seat holds are all zero, so that the
messages it receives are the only thing it does not know; its inputs are wholly in the component it lacks. Then
every message must be uniform over the one stream it does not hold: chi-square over byte values, alpha 1e-6 in
all. With that stream switched off too, the same test must fail.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_conformance import TABLE, Entry, deal

from hanse.engine.masks import Stream, derive
from hanse.engine.noise import geometric_difference
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from secret_stage import Dealer, Tape, ZeroStream, keyed, payload, uniform_p_value

ALPHA = 1e-6
ROWS = 1 << 14
NOISE = Entry("noise", geometric_difference, ("ring",), lambda s, x: geometric_difference(s, 1.0, x.size // 16),
              lambda x: x, lambda rows: rows)  # fmt: skip
INPUT = Entry("input", Session.input_from, ("ring",),
              lambda s, x: Ring(*s.input_from(1, "in", x.left + x.right, x.shape, xor=True)),
              lambda x: x, lambda rows: rows)  # fmt: skip
# A product of all rows at once is a single word: too little to test, and the same code as `multiply`.
SMALL = {"dot", "matmul inner", "matmul outer"}
SILENT = {"any_plane of one", "add_public of zero"}  # local: they send nothing at all
ENTRIES = [e for e in [*TABLE, NOISE, INPUT] if e.name not in SMALL | SILENT]
KEYS = [derive(bytes(32), f"component {i}") for i in range(3)]


def values_for(kind: str, rows: int) -> np.ndarray:
    """Sparse values: unmasked products of them would be mostly zeros."""
    name, _, size = kind.partition(":")
    column = (np.arange(rows, dtype=np.uint64) % np.uint64(4) == 0).astype(np.uint64)
    return np.repeat(column[:, None], int(size), axis=1) if name == "words" else column


def views(entry: Entry, seat: int, *, masked: bool = True) -> list[tuple[str, np.ndarray]]:
    """(step, bytes) of every message that ``seat`` receives."""
    dealer = Dealer(1, blind=seat)
    rows = min(ROWS, entry.rows_at_most)
    shares = [deal(dealer, kind, values_for(kind, rows)) for kind in entry.takes]
    unknown = (seat + 2) % 3
    tape = Tape()

    def stream(component: int, real: Stream) -> Stream:
        return real if masked and component == unknown else ZeroStream()

    def protocol(s: Session) -> Any:
        extra = [] if entry.prepare is None else [entry.prepare(s, rows)]
        s.left = stream(s.seat, s.left)
        s.right = stream((s.seat + 1) % 3, s.right)
        entry.run(s, *[share[s.seat] for share in shares], *extra)

    keyed(protocol, KEYS, tap=tape)
    return [(f.step, payload(f)) for f in tape.received(seat)]


def require_uniform(messages: list[tuple[str, np.ndarray]]) -> None:
    """All messages together, and each one that is long enough by itself."""
    if not messages:
        return
    everything = np.concatenate([octets for _, octets in messages])
    long = [(step, octets) for step, octets in messages if octets.size >= 5 * 256]
    tests = [("all messages", everything), *long]
    for step, octets in tests:
        p = uniform_p_value(octets)
        assert p > ALPHA / len(tests), f"{step} is not uniform (p = {p:.1e})"


def require_independent(messages: list[tuple[str, np.ndarray]]) -> None:
    """No two messages of one size share a mask: their XOR is uniform, too (neighbours in time)."""
    pairs = [
        (f"{a} ^ {b}", x ^ y)
        for (a, x), (b, y) in pairwise(messages)
        if x.size == y.size >= 5 * 256
    ]
    for step, octets in pairs:
        assert uniform_p_value(octets) > ALPHA / len(pairs), step


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_messages_are_uniform_to_their_reader(entry: Entry) -> None:
    heard = 0
    for seat in range(3):
        messages = views(entry, seat)
        require_uniform(messages)
        require_independent(messages)
        heard += len(messages)
    assert heard


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_without_masks_the_same_test_fails(entry: Entry) -> None:
    heard = [seat for seat in range(3) if views(entry, seat, masked=False)]
    assert heard
    for seat in heard:
        with pytest.raises(AssertionError, match="is not uniform"):
            require_uniform(views(entry, seat, masked=False))


def test_a_mask_that_serves_twice_is_noticed() -> None:
    class Stuck(Stream):
        """A stream that never moves forward: every message is uniform, and any two tell their XOR."""

        def take(self, count: int) -> np.ndarray:
            return Stream(KEYS[0]).take(count)

    def run(s: Session, x: Ring) -> Ring:
        s.left, s.right = (Stuck(KEYS[0]) if isinstance(m, Stream) and not isinstance(m, ZeroStream) else m
                           for m in (s.left, s.right))  # fmt: skip
        for number in range(2):
            x = Ring(*s.input_from(1, f"in{number}", x.left + x.right, x.shape, xor=True))
        return x

    entry = Entry("twice", Session.input_from, ("ring",), run, lambda x: x, lambda rows: rows)
    messages = views(entry, 2)
    require_uniform(messages)
    with pytest.raises(AssertionError):
        require_independent(messages)
