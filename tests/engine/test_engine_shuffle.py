"""The secret shuffle: a uniform order, which no seat's own factors determine, and which can be undone."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hanse.engine import shuffle
from hanse.engine.masks import Stream, derive
from hanse.engine.session import Session
from hanse.engine.shuffle import Permutation, draw_permutation, secret_permutation, unshuffle
from hanse.engine.stage import on_stage
from hanse.errors import Fault
from secret_stage import Dealer, opened

ALPHA = 1e-6
ORDERS = {order: number for number, order in enumerate(permutations(range(3)))}


def factors_of(seats: list[Permutation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(p12, p31, p23): what the parts one and two, three and one, two and three hold in common."""
    one, two, three = (seats[(seats[0].turn + part) % 3] for part in range(3))
    assert (one.right == two.left).all()
    assert (two.right == three.left).all()
    assert (three.right == one.left).all()
    return one.right, one.left, two.right


def order_of(seats: list[Permutation]) -> np.ndarray:
    """The whole order as the module documents it: gather by p12, then p31, then p23."""
    p12, p31, p23 = factors_of(seats)
    return p12[p31[p23]]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([0, 1, 2, 3, 64, 65, 300]),
    st.integers(1, 4),
    st.integers(0, 5),
    st.integers(0, 1 << 32),
)
def test_rows_move_as_documented_and_back(rows: int, width: int, turn: int, seed: int) -> None:
    """Every turn: shuffle gathers by the three factors, in their order; unshuffle undoes it exactly."""
    table = np.random.default_rng(seed).integers(0, 1 << 64, (rows, width), np.uint64)
    shares = Dealer(seed).words(table)

    def protocol(s: Session) -> Any:
        by = secret_permutation(s, rows, turn)
        moved = shuffle.shuffle(s, shares[s.seat], by)
        back, first = unshuffle(s, moved, by), unshuffle(s, shares[s.seat], by, "first")
        return by, [opened(s, x, f"o{i}") for i, x in enumerate((moved, back, first))]

    seats = on_stage(protocol, seed=f"{seed}")
    order = order_of([by for by, _ in seats])
    for _, (moved, back, first) in seats:
        assert (moved == table[order]).all()
        assert (back == table).all()
        assert (first[order] == table).all()


def test_a_permutation_of_another_size_is_refused() -> None:
    shares = Dealer(1).words(np.zeros((4, 1), np.uint64))
    with pytest.raises(Fault) as caught:
        on_stage(lambda s: shuffle.shuffle(s, shares[s.seat], secret_permutation(s, 5)))
    assert caught.value.code == "shuffle.size"


def test_every_draw_is_another_order() -> None:
    def protocol(s: Session) -> list[bytes]:
        return [
            f"{p.left},{p.right}".encode() for p in (secret_permutation(s, 20) for _ in range(3))
        ]

    assert all(len(set(seat)) == 3 for seat in on_stage(protocol))


@pytest.mark.parametrize("turn", range(3))
def test_the_order_is_uniform(turn: int) -> None:
    """Chi-square over the 6 orders of 3 rows, 1,500 shuffles by the protocol itself, alpha 1e-6."""
    runs = 1500
    shares = Dealer(4).words(np.arange(3, dtype=np.uint64).reshape(3, 1))

    def protocol(s: Session) -> list[int]:
        found = []
        for run in range(runs):
            by = secret_permutation(s, 3, turn)
            found.append(
                ORDERS[
                    tuple(
                        opened(s, shuffle.shuffle(s, shares[s.seat], by), f"{run}")[:, 0].tolist()
                    )
                ]
            )
        return found

    found = on_stage(protocol, seed=f"uniform {turn}")[0]
    assert stats.chisquare(np.bincount(found, minlength=6)).pvalue > ALPHA


def drawn(runs: int, *, missing: int | None = None) -> list[list[Permutation]]:
    """Permutations as three seats draw them; no message is needed.

    ``missing`` names a component whose factor is left out (the identity).
    """
    keys = [derive(bytes(32), f"pair {number}") for number in range(3)]
    seats = [Session(None, i, keys[i], keys[(i + 1) % 3]) for i in range(3)]  # type: ignore[arg-type]
    out = []
    for _ in range(runs):
        by = [secret_permutation(s, 3) for s in seats]
        if missing is not None:
            by[missing].left[:] = by[missing - 1].right[:] = np.arange(3)
        out.append(by)
    return out


def chance_given_own_factors(runs: list[list[Permutation]], seat: int) -> float:
    """P-value of "whatever the two factors of ``seat`` are, all 6 orders are equally likely"."""
    table = np.zeros((36, 6))
    for seats in runs:
        mine = seats[seat]
        known = ORDERS[tuple(mine.left.tolist())] * 6 + ORDERS[tuple(mine.right.tolist())]
        table[known, ORDERS[tuple(order_of(seats).tolist())]] += 1
    expected = table.sum(axis=1, keepdims=True) / 6
    assert (expected >= 5).all()
    return float(stats.chi2.sf(((table - expected) ** 2 / expected).sum(), 36 * 5))


@pytest.mark.parametrize("seat", range(3))
def test_no_seats_own_factors_determine_the_order(seat: int) -> None:
    """Given both factors a seat knows (36 cases), all 6 orders are equally likely: 6,500 draws, alpha 1e-6."""
    assert chance_given_own_factors(drawn(6500), seat) > ALPHA


@pytest.mark.parametrize("seat", range(3))
def test_two_factors_would_not_be_enough(seat: int) -> None:
    """The same test notices a shuffle without the factor that this seat lacks: it knows the order."""
    runs = drawn(6500, missing=(seat + 2) % 3)
    table_full = {(r[seat].left.tobytes(), r[seat].right.tobytes()) for r in runs}
    assert len(table_full) == 36
    assert chance_given_own_factors(runs, seat) < ALPHA


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_fisher_yates_is_exact(rows: int) -> None:
    """All orders of up to 5 rows equally likely: 60,000 draws, chi-square, alpha 1e-6."""
    stream, seen = Stream(derive(b"\5" * 32, "fisher")), {}
    for _ in range(60_000 if rows > 2 else 3000):
        key = tuple(draw_permutation(stream, rows).tolist())
        seen[key] = seen.get(key, 0) + 1
    assert set(seen) == set(permutations(range(rows)))
    if rows > 1:
        assert stats.chisquare(list(seen.values())).pvalue > ALPHA


def test_a_draw_from_no_chance_at_all_is_refused() -> None:
    """Zeros are rejected words: the draw stops instead of giving a biased order."""

    class Zeros(Stream):
        def take(self, count: int) -> np.ndarray:
            return np.zeros(count, np.uint64)

    with pytest.raises(Fault) as caught:
        draw_permutation(Zeros(bytes(32)), 200)
    assert caught.value.code == "shuffle.draw"


def test_a_long_order_is_a_permutation() -> None:
    order = draw_permutation(Stream(bytes(32)), 100_003)
    assert (np.sort(order) == np.arange(100_003)).all()
    assert (order != np.arange(100_003)).mean() > 0.999
