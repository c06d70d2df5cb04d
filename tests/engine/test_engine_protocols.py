"""Every protocol equals its plain twin at its declared cost."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from engine_conformance import SIMON_KEY, TABLE, TABLES, Entry, check, simon
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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
from hanse.engine.costs import costs, declared
from hanse.engine.group import segment_sums
from hanse.engine.shares import Ring
from hanse.engine.stage import on_stage
from secret_stage import Dealer, opened

EDGES = [0, 1, 2, -1, -2, (1 << 63) - 1, -(1 << 63), (1 << 32) - 1, 1 << 32, 127, 128]
HALF_EDGES = [0, 1, -1, (1 << 62) - 1, -(1 << 62) + 1, 1 << 13, -(1 << 13), (1 << 13) - 1]
ROWS = [1, 2, 63, 64, 65, 130, 200]


def column(kind: str, rows: int) -> st.SearchStrategy[np.ndarray]:
    """Values of one input: edges of the type, and anything between them."""
    name, _, size = kind.partition(":")
    if name == "bits":
        top = (1 << int(size)) - 1
        element = st.sampled_from([0, 1, top, top - 1 if top > 1 else 1, top // 2]) | st.integers(
            0, top
        )
        return arrays.arrays(np.uint64, rows, elements=element, fill=st.just(top))
    if name == "words":
        element = st.sampled_from([v % (1 << 64) for v in EDGES]) | st.integers(0, (1 << 64) - 1)
        return arrays.arrays(np.uint64, (rows, int(size)), elements=element)
    if name == "flag":
        element = st.integers(0, 1)
    elif name == "half":
        element = st.sampled_from(HALF_EDGES) | st.integers(-(1 << 62) + 1, (1 << 62) - 1)
    else:
        element = st.sampled_from(EDGES) | st.integers(-(1 << 63), (1 << 63) - 1)
    return arrays.arrays(np.int64, rows, elements=element).map(lambda a: a.view(np.uint64))


@pytest.mark.parametrize("entry", TABLE, ids=lambda e: e.name)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_the_value_is_the_twins_and_the_cost_the_declared_one(entry: Entry, data: Any) -> None:
    choices = [r for r in ([0, *ROWS] if entry.empty else ROWS) if r <= entry.rows_at_most]
    rows = data.draw(st.sampled_from(choices), label="rows")
    inputs = [data.draw(column(kind, rows), label=kind) for kind in entry.takes]
    check(entry, inputs, data.draw(st.integers(0, 1 << 32), label="seed"))


MANY = ["less_than_bits", "sign_bit", "less_than", "count_rows", "all_rows", "multiply", "shuffle"]


@pytest.mark.parametrize("entry", [e for e in TABLE if e.name in MANY], ids=lambda e: e.name)
def test_many_rows_take_the_other_circuit_and_keep_the_declared_cost(entry: Entry) -> None:
    rows = compare.RIPPLE_ROWS + 5
    random = np.random.default_rng(7)
    inputs = []
    for kind in entry.takes:
        name, _, size = kind.partition(":")
        shape = (rows, int(size)) if name == "words" else (rows,)
        values = random.integers(0, 1 << 64, shape, np.uint64)
        shift = {"bits": 64 - int(size or 0), "half": 2}.get(name, 0)
        inputs.append(values >> np.uint64(shift))
    check(entry, inputs)


def test_tags_of_several_waves_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond one wave, the last block partial: every block lands where its rows are."""
    monkeypatch.setattr(prf, "BLOCK_ROWS", 1 << 12)
    rows = prf.BLOCK_ROWS * prf.WAVE_BLOCKS + 1000
    table = np.random.default_rng(8).integers(0, 1 << 64, (rows, 1), np.uint64)
    entry = next(e for e in TABLES if e.name == "tags")
    check(entry, [table], waves=2)


@pytest.mark.parametrize("one_zero_at", [None, 0, 63, 64, 129])
def test_all_rows_finds_the_one_row_that_is_false(one_zero_at: int | None) -> None:
    """And opens nothing more: the other 63 bits of the opened word are zero."""
    values = np.ones(130, np.uint64)
    if one_zero_at is not None:
        values[one_zero_at] = 0
    shares = Dealer(3).bits(values, 1)

    def protocol(s: Any) -> Any:
        from hanse.engine import reveal

        return reveal.open_bits(s, boolean.all_rows(s, shares[s.seat][0]), "verdict")

    for word in on_stage(protocol):
        assert word.tolist() == [int(one_zero_at is None)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.data())
def test_one_hot_of_any_number_of_values(values: int, data: Any) -> None:
    bits = max(1, (values - 1).bit_length())
    codes = data.draw(arrays.arrays(np.uint64, 70, elements=st.integers(0, (1 << bits) - 1)))
    shares = Dealer(4).bits(codes, bits)
    got = on_stage(lambda s: opened(s, boolean.one_hot(s, shares[s.seat], values)))[0]
    assert (got == (codes[None, :] == np.arange(values, dtype=np.uint64)[:, None])).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(0, (1 << 21) - 1), st.integers(0, 1 << 32))
def test_adding_any_public_number(bits: int, constant: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, 70, np.uint64)
    shares = Dealer(5).bits(values, bits)
    got = on_stage(lambda s: opened(s, compare.add_public(s, shares[s.seat], constant)))[0]
    total = (values + np.uint64(constant)) % np.uint64(1 << bits)
    assert (
        got == ((total[None, :] >> np.arange(bits, dtype=np.uint64)[:, None]) & np.uint64(1))
    ).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.integers(0, 1 << 32))
def test_matrix_products_of_any_shape(n: int, m: int, p: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = (
        random.integers(0, 1 << 64, (n, m), np.uint64),
        random.integers(0, 1 << 64, (m, p), np.uint64),
    )
    a, b = Dealer(1).ring(x), Dealer(2).ring(y)
    for got in on_stage(lambda s: opened(s, multiply.matmul(s, a[s.seat], b[s.seat]))):
        assert (got == x @ y).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=50), st.data())
def test_linear_operations_are_local(values: list[int], data: Any) -> None:
    """Sums, differences, public factors and segment sums: no message, same as in the clear."""
    x = np.array(values, np.int64).view(np.uint64)
    factor = data.draw(st.integers(-(1 << 63), (1 << 63) - 1))
    starts = np.array(sorted(data.draw(st.sets(st.integers(0, x.size - 1)))), np.int64)
    dealer = Dealer(6)
    a, b = dealer.ring(x), dealer.ring(x[::-1])

    def protocol(s: Any) -> Any:
        mine, other = a[s.seat], b[s.seat]
        made = [mine + other, mine - other, -mine, mine.times(factor), mine.sum().reshape(1), mine[::-1],
                segment_sums(mine, starts)]  # fmt: skip
        return [opened(s, share, f"{i}") for i, share in enumerate(made)]

    total, difference, negative, scaled, everything, backwards, segments = on_stage(protocol)[0]
    assert (total == x + x[::-1]).all()
    assert (difference == x - x[::-1]).all()
    assert (negative == np.uint64(0) - x).all()
    assert (scaled == x * np.uint64(factor % (1 << 64))).all()
    assert everything == x.sum(dtype=np.uint64)
    assert (backwards == x[::-1]).all()
    ends = [*starts[1:], x.size]
    want = [x[a:b].sum(dtype=np.uint64) for a, b in zip(starts, ends, strict=starts.size > 0)]
    assert segments.tolist() == want


def test_a_product_of_two_single_elements() -> None:
    shares = [share[0] for share in Dealer(1).ring(np.array([3]))]
    assert (
        on_stage(lambda s: opened(s, multiply.multiply(s, shares[s.seat], shares[s.seat])))[0] == 9
    )


def test_all_of_no_rows_is_true() -> None:
    got = on_stage(lambda s: opened(s, boolean.all_rows(s, s.zeros_bits(1, rows=0)[0])))[0]
    assert got.tolist() == [1]


# --- costs themselves ---------------------------------------------------------------------------


def test_every_declared_cost_is_in_the_table() -> None:
    """Whoever adds a protocol with a cost adds its twin; a cost that no test reads means nothing."""
    rooms = [add, arithmetic, boolean, compare, count, fixed, multiply, prf, programmed, shuffle]
    with_cost = {
        f"{room.__name__}.{name}"
        for room in rooms
        for name, function in inspect.getmembers(room, inspect.isfunction)
        if hasattr(function, "cost") and function.__module__ == room.__name__
    }
    covered = {f"{e.protocol.__module__}.{e.protocol.__name__}" for e in TABLE}
    assert with_cost == covered


def test_a_cost_that_is_too_low_is_noticed() -> None:
    """The conformance check itself can fail: on bytes, on rounds and on the value."""
    good = next(e for e in TABLE if e.name == "multiply")
    x = np.arange(10, dtype=np.uint64)
    check(good, [x, x])
    cheap = costs(rounds=1, bytes_per_item=4)(lambda *_: None)
    quick = costs(rounds=0, bytes_per_item=8)(lambda *_: None)
    for change in [
        {"protocol": cheap},
        {"protocol": quick},
        {"twin": lambda x, y: x * y + np.uint64(1)},
    ]:
        with pytest.raises(AssertionError):
            check(Entry(**{**vars(good), **change}), [x, x])


def test_rounds_are_counted_even_where_a_protocol_forgets() -> None:
    """A message that waits for another is a second round, whatever the meter says."""

    def twice(s: Any, x: Ring) -> Ring:
        return Ring(
            *s.input_from(
                1, "b", s.input_from(0, "a", x.left, x.shape, xor=False)[0], x.shape, xor=False
            )
        )

    two = costs(rounds=1, bytes_per_item=1000)(twice)
    entry = Entry(
        "two", two, ("ring",), twice, lambda x: x, lambda rows: rows, agrees=lambda _a, _b: True
    )
    with pytest.raises(AssertionError, match="2 rounds, declared 1"):
        check(entry, [np.arange(4, dtype=np.uint64)])


def test_the_meter_counts_the_round_of_an_input() -> None:
    def protocol(s: Any) -> int:
        s.input_from(0, "x", np.ones(4, np.uint64) if s.seat == 0 else None, (4,), xor=False)
        return int(s.meter.rounds)

    assert on_stage(protocol) == [1, 1, 1]


def test_cost_formulas() -> None:
    protocol = costs(rounds="2*log2n+1", bytes_per_item="3*bits/8+48/rows")(lambda: None)
    assert declared(protocol, log2n=3, bits=16, rows=96) == (7, 6.5)
    with pytest.raises(ValueError, match="unknown"):
        declared(costs(rounds="unknown", bytes_per_item=0)(lambda: None))


def test_the_twin_of_the_tags_is_the_ciphers_own_vector() -> None:
    text = np.array([0x656B696C20646E75], np.uint64)
    assert simon(text, SIMON_KEY)[0] == 0x44C8FC20B9DFA07A
