"""Evidence, correlation and inflation on shares: right, and nothing opens but what the plan says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hanse.align import JoinPolicy
from hanse.engine.fixed import decode, encode
from hanse.engine.matrices import INVERSE_BITS, MATRIX_BITS
from hanse.engine.session import Session
from hanse.engine.stage import agree, on_stage
from hanse.entropy import SeededEntropy
from hanse.errors import HanseError, Refusal
from hanse.gate.record import Record
from hanse.learn.evaluation import plain
from hanse.learn.features.bins import Bins, quantile_bins
from hanse.learn.features.correlation import (
    MOMENT_BITS,
    ROOT_BITS,
    correlations,
    inflation,
    inverse_root,
    most_inflation,
)
from hanse.learn.features.plan import FRACTION, Brings, FeaturePlan
from hanse.learn.features.pooled import PooledPlan
from hanse.learn.features.pooled import run_party as pooled_party
from hanse.learn.features.pooled import run_seat as pooled_seat
from hanse.learn.features.seats import AtHome, run_party, run_seat, standardised
from hanse.wire import Frame, Hall
from secret_stage import Dealer, opened, payload

Matrix = NDArray[np.float64]


class World:
    """Two or three parties' rows of 800 people; most are at all of them."""

    def __init__(self, parties: int = 2, rows: int = 800, share: float = 0.95) -> None:
        random = np.random.default_rng(6)
        self.x = random.normal(size=(rows, 3 * parties))
        self.x[:, 1] = np.exp(self.x[:, 1])
        self.x[:, 3] += 0.8 * self.x[:, 0]
        self.mark = random.random(rows) < 1 / (1 + np.exp(-self.x[:, 4]))
        ids = random.integers(1, 1 << 60, rows).astype(np.uint64)
        self.there = [random.permutation(rows)[: int(share * rows)] for _ in range(parties)]
        self.homes, self.bins, brings = [], [], []
        for number, rows_here in enumerate(self.there):
            own = self.x[rows_here, 3 * number : 3 * number + 3]
            bins = [quantile_bins(f"c{c}", own[:, c], 5) for c in range(3)] if number else []
            codes = tuple(b.codes(own[:, c]) for c, b in enumerate(bins))
            standard, _ = standardised(own)
            mark = self.mark[rows_here] if number == 0 else None
            self.homes.append(AtHome(ids[rows_here], codes, standard, mark))
            self.bins.append(bins)
            brings.append(Brings(f"p{number}", rows_here.size, tuple(b.count for b in bins), 3))
        self.brings = tuple(brings)
        self.matched = np.sort(
            np.array(sorted(set.intersection(*(set(t.tolist()) for t in self.there))))
        )

    def plan(self, **more: Any) -> FeaturePlan:
        pairs = tuple(
            (a, b) for a in range(len(self.brings)) for b in range(a + 1, len(self.brings))
        )
        options = {"pairs": pairs, "inflation": True, "least_rows": 100, "noise": False} | more
        return FeaturePlan(self.brings, JoinPolicy(1.0, 1e-6), **options)

    def run(self, plan: FeaturePlan, tap: Any = None) -> tuple[list[Any], list[Record]]:
        records = [Record() for _ in range(3)]

        def seat(number: int) -> Callable[[Any], Any]:
            def play(channel: Any) -> Any:
                s = agree(channel, number, SeededEntropy(f"seat {number}"), b"features")
                return run_seat(s, records[number], plan)

            return play

        def party(number: int) -> Callable[[Any], Any]:
            entropy = SeededEntropy(f"party {number}")
            return lambda c: run_party(c, plan, number, self.homes[number], self.bins, entropy)

        roles = [*(seat(n) for n in range(3)), *(party(n) for n in range(len(self.homes)))]
        return together(roles, tap), records


def together(roles: list[Callable[[Any], Any]], tap: Any) -> list[Any]:
    hall = Hall(len(roles), tap=tap, patience=30)
    results: list[Any] = [None] * len(roles)
    errors: list[BaseException] = []

    def live(role: int) -> None:
        try:
            results[role] = roles[role](hall.channel(role))
        except BaseException as error:  # raised below
            errors.append(error)
            hall.fail(error if isinstance(error, HanseError) else Refusal("test", repr(error)))

    threads = [threading.Thread(target=live, args=(role,)) for role in range(len(roles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def standard_of(world: World, party: int) -> Matrix:
    """A party's columns of everybody, standardised by its own rows."""
    own = world.x[:, 3 * party : 3 * party + 3]
    here = own[world.there[party]]
    return np.asarray((own - here.mean(axis=0)) / here.std(axis=0))


@pytest.mark.parametrize("parties", [2, 3])
def test_figures_are_those_of_all_rows_in_one_place(parties: int) -> None:
    world = World(parties)
    results, _ = world.run(world.plan())
    rows = world.matched
    told = results[3]
    assert len(told.evidence) == 3 * (parties - 1)
    for evidence in told.evidence:
        party, column = int(evidence.party[1:]), int(evidence.column[1:])
        bins: Bins = world.bins[party][column]
        codes = bins.codes(world.x[rows, 3 * party + column]).astype(int)
        counts = [
            np.bincount(codes[m], minlength=bins.count)
            for m in (world.mark[rows], ~world.mark[rows])
        ]
        shown = np.minimum(*counts) >= 20
        assert list(evidence.marked) == [int(c) if c >= 20 else None for c in counts[0]]
        assert [w is not None for w in evidence.weights] == shown.tolist()
        assert evidence.value == pytest.approx(
            plain.woe(*(c.astype(float) for c in counts))[1], rel=1e-9
        )
        assert evidence in results[3 + party].evidence, "the owner reads the same"
    # What is far out is cut at 8 deviations, as it is shared.
    cut = [np.clip(standard_of(world, n), -8, 8)[rows] for n in range(parties)]
    exact = np.corrcoef(np.concatenate(cut, axis=1), rowvar=False)
    for a, b in world.plan().pairs:
        block = results[3 + a].correlations[b]
        assert np.abs(block - exact[3 * a : 3 * a + 3, 3 * b : 3 * b + 3]).max() < 1e-4
        assert np.array_equal(results[3 + b].correlations[a], block.T)
    found = np.concatenate([results[3 + n].inflation for n in range(parties)])
    assert found == pytest.approx(plain.vif(exact), rel=0.01)


def test_the_record_names_every_opening() -> None:
    world = World(3)
    frames: list[Frame] = []
    lock = threading.Lock()

    def keep(frame: Frame) -> Frame:
        with lock:
            frames.append(frame)
        return frame

    _, records = world.run(
        world.plan(pairs=((0, 2),), tell=("mark",), noise=True, epsilon=2.0, k=20), keep
    )
    assert len({r.digest() for r in records}) == 1
    openings = {o.step: o for o in records[0].openings if not o.step.startswith("join.")}
    assert set(openings) == {"release.p1", "release.p2", "correlation.0.2", "inflation.p0", "inflation.p1",
                             "inflation.p2"}  # fmt: skip
    assert openings["release.p1"].to == ("p0",)
    assert openings["release.p1"].values == 2 * 15
    assert openings["release.p1"].epsilon + openings["release.p2"].epsilon == pytest.approx(2.0)
    told = [o for o in records[0].openings if o.step == "correlation.0.2"]
    assert [(o.to, o.values) for o in told] == [(("p0",), 9), (("p2",), 9)]
    # What parties are sent, by role: nobody gets another's figures.
    sent = {
        (f.target, f.step.split("/")[-1].removesuffix(".hash")) for f in frames if f.target >= 3
    }
    assert sent == {
        (3, "result"), (3, "correlation.0.2"), (5, "correlation.0.2"),
        (3, "inflation.p0"), (4, "inflation.p1"), (5, "inflation.p2"),
    }  # fmt: skip
    opened_to_seats = {f.step for f in frames if f.target < 3 and f.step.endswith("/open")}
    assert not [s for s in opened_to_seats if "counts" in s or "correlation" in s]


def test_too_few_rows_open_nothing() -> None:
    world = World()
    frames: list[Frame] = []
    with pytest.raises(Refusal) as caught:
        world.run(world.plan(least_rows=None), lambda f: frames.append(f) or f)
    assert caught.value.code == "learn.rows"
    assert not [f for f in frames if f.target >= 3]


def test_a_crowd_below_k_is_suppressed() -> None:
    world = World()
    results, _ = world.run(world.plan(k=500))
    assert all(set(e.marked) == {None} for e in results[3].evidence)
    assert all(e.value is None for e in results[3].evidence)


def test_counts_are_noised_at_the_declared_price() -> None:
    world = World()
    exact, _ = world.run(world.plan())
    noised, _ = world.run(world.plan(noise=True, epsilon=3.0))
    both = list(zip(exact[3].evidence, noised[3].evidence, strict=True))
    moved = [
        (n or 0) - (e or 0)
        for a, b in both
        for e, n in zip(a.marked, b.marked, strict=True)
        if e is not None and n is not None
    ]
    assert any(moved)
    # Cells at 3 / 3 columns / 2: a deviation of 2.8; 60 is beyond any chance.
    assert max(abs(m) for m in moved) < 60
    for a, b in both:
        if a.value is not None and b.value is not None:
            assert b.low is not None
            assert b.low <= b.high


@pytest.mark.parametrize("bad", [{"k": 5}, {"epsilon": 9.0}])
def test_rules_that_no_plan_may_loosen(bad: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        World().plan(noise=True, **bad).check()


# --- the pieces -------------------------------------------------------------------------------------


def test_inverse_root() -> None:
    v = np.array([1 / 256, 0.01, 0.3, 1.0, 2.0, 9.0, 63.9])
    shared = Dealer(1).ring(encode(v, MOMENT_BITS))
    got = decode(
        on_stage(lambda s: opened(s, inverse_root(s, shared[s.seat], "root")))[0], ROOT_BITS
    )
    assert got == pytest.approx(1 / np.sqrt(v), rel=2e-5)


@pytest.mark.parametrize("columns", [1, 2, 7, 33])
def test_correlation_and_inflation(columns: int) -> None:
    random = np.random.default_rng(columns)
    rows = 500
    here = random.random(rows) < 0.8
    x = random.normal(size=(columns, rows)) @ np.eye(rows)
    x[-1] += 0.7 * x[0] if columns > 1 else 0
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    table = np.vstack([here, np.where(here, np.clip(x, -7.9, 7.9), 0)])
    shared = Dealer(2).ring(encode(table, FRACTION))

    def protocol(s: Session) -> tuple[Any, Any]:
        matrix = correlations(s, shared[s.seat])
        told = opened(s, matrix, "matrix")
        return told, opened(s, inflation(s, matrix), "inflation") if columns > 1 else None

    matrix, inflated = on_stage(protocol)[0]
    exact = np.atleast_2d(np.corrcoef(x[:, here]))
    assert np.abs(decode(matrix, MATRIX_BITS) - exact).max() < 1e-3
    if columns > 1:
        found = decode(inflated, INVERSE_BITS)
        assert found == pytest.approx(plain.vif(exact), rel=5e-3)
        assert most_inflation(columns) >= 2**10


def test_a_column_that_does_not_vary_among_the_matched() -> None:
    """It correlates with nothing, and does not spoil the others."""
    random = np.random.default_rng(5)
    x = np.vstack([np.ones(300), random.normal(size=(2, 300)), np.full(300, 1.25)])
    shared = Dealer(2).ring(encode(x, FRACTION))
    got = decode(on_stage(lambda s: opened(s, correlations(s, shared[s.seat])))[0], MATRIX_BITS)
    assert np.abs(got[2, :2]).max() < 0.02
    assert got[0, 1] == pytest.approx(np.corrcoef(x[1:3])[0, 1], abs=1e-3)


def test_seats_see_nothing_of_rows() -> None:
    """Frames between seats after the join: none holds a column in the clear (their bytes look uniform)."""
    world = World()
    frames: list[Frame] = []
    lock = threading.Lock()

    def keep(frame: Frame) -> Frame:
        with lock:
            frames.append(frame)
        return frame

    world.run(world.plan(), keep)
    mine = [
        payload(f) for f in frames if f.target < 3 and f.source < 3 and "correlation/" in f.step
    ]
    whole = np.concatenate([m.view(np.uint8).reshape(-1) for m in mine if m.size > 64])
    from secret_stage import uniform_p_value

    assert uniform_p_value(whole) > 1e-6


# --- bins over several parties' rows -----------------------------------------------------------------


@pytest.mark.parametrize("noise", [False, True])
def test_pooled_bins(noise: bool) -> None:
    random = np.random.default_rng(8)
    parts = [
        [random.lognormal(mean, 0.8, 3000), random.normal(mean, 1, 3000)]
        for mean in (0.0, 0.5, 1.0)
    ]
    plan = PooledPlan(("a", "b", "c"), (("x", 0.0, 200.0), ("z", -6.0, 8.0)), 5, 2.0, noise=noise)
    records = [Record() for _ in range(3)]

    def seat(number: int) -> Callable[[Any], Any]:
        def play(channel: Any) -> Any:
            s = agree(channel, number, SeededEntropy(f"seat {number}"), b"pooled")
            return pooled_seat(s, records[number], plan)

        return play

    def party(number: int) -> Callable[[Any], Any]:
        return lambda c: pooled_party(
            c, plan, number, parts[number], SeededEntropy(f"party {number}")
        )

    results = together([*(seat(n) for n in range(3)), *(party(n) for n in range(3))], None)
    for column in range(2):
        pooled = np.concatenate([p[column] for p in parts])
        bins = results[3][column]
        assert all(np.array_equal(bins.edges, other[column].edges) for other in results[3:])
        shares = np.bincount(bins.codes(pooled).astype(int)) / pooled.size
        assert shares.size == 5
        assert np.abs(shares - 0.2).max() < (0.03 if noise else 0.02)
    assert [(o.step, o.to, o.epsilon) for o in records[0].openings] == [
        ("pooled", ("a", "b", "c"), 2.0)
    ]


def test_a_sum_of_two_parties_is_refused() -> None:
    with pytest.raises(Refusal, match="3 parties"):
        PooledPlan(("a", "b"), (("x", 0.0, 1.0),)).check()
