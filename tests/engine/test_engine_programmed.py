"""Programmed permutations: sums per place that are right, and factors that tell a seat nothing."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from engine_conformance import by_place, program_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hanse.engine import programmed
from hanse.engine.masks import Stream
from hanse.engine.programmed import Shape, assembled, factored, orders, sums_by_place
from hanse.engine.session import Session
from hanse.engine.shuffle import draw_permutation
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.errors import Fault
from secret_stage import Dealer, opened

ALPHA = 1e-6


@st.composite
def coded(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Codes [rows, slots] of a few places; a person is at different ones."""
    places = draw(st.integers(1, 6))
    slots = draw(st.integers(1, 3))
    rows = draw(st.sampled_from([0, 1, 2, 5, 63, 64, 65, 200]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    codes = np.zeros((rows, slots), np.int64)
    for row in range(rows):
        number = random.integers(0, min(slots, places) + 1)
        codes[row, :number] = 1 + random.choice(places, number, replace=False)
    return codes, places


@settings(max_examples=40, deadline=None)
@given(coded(), st.integers(1, 4), st.booleans(), st.integers(0, 1 << 32))
def test_sums_are_those_of_the_rows_at_each_place(
    drawn: tuple[np.ndarray, int], columns: int, narrow: bool, seed: int
) -> None:
    codes, places = drawn
    rows = codes.shape[0]
    bits = np.random.default_rng(seed).integers(0, 1 << 64, (rows, 1), np.uint64)
    shares = Dealer(seed).words(bits)

    def protocol(s: Session) -> Any:
        program = program_of(s.seat, codes, places, f"{seed}")
        return opened(s, sums_by_place(s, shares[s.seat], columns, program))

    with pytest.MonkeyPatch.context() as patch:
        if narrow:  # many rows: a column at a time
            patch.setattr(programmed, "_WAVE", 1)
        for got in on_stage(protocol, seed=f"{seed}"):
            assert (got == by_place(bits, codes, places, columns)).all()


@settings(max_examples=40, deadline=None)
@given(coded())
def test_orders_keep_places_together_and_their_ends_apart(
    drawn: tuple[np.ndarray, int],
) -> None:
    codes, places = drawn
    shape = Shape(codes.shape[0], codes.shape[1], places)
    sort, read = orders(codes, shape)
    entries = np.arange(shape.entries)
    assert (np.sort(sort) == entries).all()
    assert (np.sort(read) == entries).all()
    ends = read[:places]
    assert (np.diff(ends.astype(np.int64)) > 0).all()
    assert (sort[ends] == codes.size + np.arange(places)).all()
    before = 0
    for place, end in enumerate(ends.tolist()):
        found = Counter((sort[before:end] % max(1, shape.rows)).tolist())
        assert found == Counter(np.nonzero(codes == place + 1)[0].tolist())
        before = end + 1


def test_codes_outside_the_list_are_refused() -> None:
    for code in (-2, 4):
        with pytest.raises(Fault) as caught:
            orders(np.array([[1], [code]]), Shape(2, 1, 3))
        assert caught.value.code == "programmed.place"
    with pytest.raises(Fault) as caught:
        orders(np.array([[1]]), Shape(2, 1, 3))
    assert caught.value.code == "programmed.shape"


@pytest.mark.parametrize("rows", [0, 1, 2, 65, 1000])
def test_factors_compose_to_the_order_that_was_wanted(rows: int) -> None:
    wanted = draw_permutation(Stream(bytes(32)), rows)
    factors = factored(wanted, SeededEntropy("factors"))
    seeds = dict(enumerate(factors.seeds))
    seats = [assembled(seat, seeds, factors.last, rows) for seat in range(3)]
    for seat in range(3):  # neighbours hold the same factor
        assert (seats[seat].right == seats[(seat + 1) % 3].left).all()
    p12, p31, p23 = seats[0].right, seats[0].left, seats[1].right
    assert (p12[p31[p23]] == wanted).all()


@pytest.mark.parametrize("seat", range(3))
def test_what_a_seat_holds_does_not_depend_on_the_order(seat: int) -> None:
    """Both factors of a seat are uniform together: all 36 pairs of orders of 3 rows alike, for each of two
    wanted orders; 5,400 draws each, chi-square, alpha 1e-6."""
    number = {order: i for i, order in enumerate(permutations(range(3)))}
    for wanted in (np.array([0, 1, 2], np.uint32), np.array([2, 0, 1], np.uint32)):
        entropy = SeededEntropy(f"view {wanted}")
        seen = np.zeros(36)
        for _ in range(5400):
            factors = factored(wanted, entropy)
            seeds = dict(enumerate(factors.seeds))
            mine = assembled(seat, seeds, factors.last, 3)
            seen[number[tuple(mine.left.tolist())] * 6 + number[tuple(mine.right.tolist())]] += 1
        assert stats.chisquare(seen).pvalue > ALPHA


@pytest.mark.parametrize(
    ("order", "good"),
    [([], True), ([0], True), ([1], False), ([2, 0, 1], True), ([2, 2, 1], False), ([0, 1, 3], False)],
)  # fmt: skip
def test_what_is_no_permutation_is_noticed(order: list[int], good: bool) -> None:
    assert programmed.is_permutation(np.array(order, np.uint32)) is good


def test_a_seat_needs_the_third_factor() -> None:
    with pytest.raises(Fault) as caught:
        assembled(1, {1: bytes(32)}, None, 4)
    assert caught.value.code == "programmed.factor"


@pytest.mark.slow
def test_a_hundred_thousand_rows() -> None:
    random = np.random.default_rng(7)
    codes = random.integers(0, 2001, (100_000, 1))
    bits = random.integers(0, 4, (100_000, 1), np.uint64)
    shares = Dealer(7).words(bits)

    def protocol(s: Session) -> Any:
        return opened(s, sums_by_place(s, shares[s.seat], 2, program_of(s.seat, codes, 2000)))

    want = np.stack(
        [np.bincount(codes[:, 0], bits[:, 0] >> c & 1, 2001)[1:] for c in range(2)], axis=1
    )
    assert (on_stage(protocol)[0] == want.astype(np.uint64)).all()
