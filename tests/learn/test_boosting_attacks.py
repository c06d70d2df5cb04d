"""What a curious party makes of what it is sent while boosting: rows from sums, labels from ciphertexts.

The label holder knows the public vector of every row. With all rows in one ring block, the sum of the
vectors of some rows is a(X) times their indicator polynomial, so one division in the ring gives the rows, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from boosted import World, auc, world
from numpy.typing import NDArray
from scipy import stats

from hanse.engine.lattice import U32, N, Public, Randomisers
from hanse.entropy import SeededEntropy, SystemEntropy
from hanse.errors import Foul
from hanse.learn.boosting import Settings, features, fit, label
from hanse.learn.boosting.bins import bin_columns
from hanse.learn.boosting.blocks import Owned
from hanse.learn.boosting.features import FeatureHolder
from hanse.learn.boosting.partition import Partition
from hanse.learn.boosting.splits import sent
from hanse.wire import Frame

Q = 1 << 32
ROWS = 1_000  # one block
Apply = Callable[[Randomisers, U32, U32, U32], None]


# --- the attacker's arithmetic -----------------------------------------------------------------------


def multiplied(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """a * b in Z_q[X]/(X^n + 1), by Python's integers."""

    def packed(values: list[int]) -> int:
        return int.from_bytes(b"".join(v.to_bytes(16, "little") for v in values), "little")

    octets = (packed(a.tolist()) * packed(b.tolist())).to_bytes(2 * N * 16, "little")
    words = np.frombuffer(octets, np.uint32)[::4]
    return words[:N] - words[N:]


def inverse(a: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """1 / a, for a whose coefficients add up to an odd number: a^(n-1) modulo 2, then Newton."""
    x = np.zeros(N, np.uint32)
    x[0] = 1
    for _ in range(10):  # n - 1 = 2^10 - 1
        x = multiplied(multiplied(x, x), a) & 1
    for _ in range(5):
        x = 2 * x - multiplied(multiplied(x, x), a)
    return x


def rows_in(sums: NDArray[np.uint32], inverse_of_a: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The indicator [n] whose public vectors add up to ``sums`` [n], if there is one."""
    ring = np.concatenate([sums[:1], -sums[:0:-1]])  # window 0 back to a ring element
    turned = multiplied(ring, inverse_of_a)
    return np.concatenate([turned[:1], -turned[:0:-1]])


def odd_job() -> bytes:
    """A job whose public polynomial can be divided by: every other one."""
    for number in range(64):
        job = f"an attacked job {number}".encode()
        if int(Public(job, ROWS).windows[:N].sum(dtype=np.uint64)) & 1:
            return job
    raise AssertionError("64 even jobs in a row")


# --- what was sent ------------------------------------------------------------------------------------


def overheard(here: World, job: bytes, what: str, least: int = 20) -> dict[str, np.ndarray]:
    heard: dict[str, np.ndarray] = {}

    def tap(frame: Frame) -> Frame:
        if frame.step.startswith(what):
            heard[frame.step] = np.array(frame.body)
        return frame

    settings = Settings(trees=1, depth=1, bins=8, minimum_rows=least)
    fit(here.guest, here.y["logistic"], here.hosts, settings, job=job, tap=tap,
        entropy=lambda role: SeededEntropy(f"attack|{role}"), workers=1)  # fmt: skip
    return heard


def attack(
    apply: Apply | None, monkeypatch: pytest.MonkeyPatch, least: int, differences: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(guessed, true) indicators [sums, rows] of "the row's code is at most p", one for each sum at the root."""
    if apply is not None:
        monkeypatch.setattr(Randomisers, "apply", apply)
    orders: list[np.ndarray] = []
    shuffled = FeatureHolder._shuffled

    def kept(self: FeatureHolder) -> np.ndarray:
        orders.append(shuffled(self))
        return orders[-1]

    monkeypatch.setattr(FeatureHolder, "_shuffled", kept)  # only to know the truth
    here, job = world(ROWS, 31), odd_job()
    heard = overheard(here, job, "t0.s0.s", least)
    host = here.hosts[0]
    codes = bin_columns(host.columns, 8, ROWS, "host").codes[orders[0]]
    places = np.argwhere(sent(heard["t0.s0.state"])[0])
    truth = np.array([codes[column] <= position for column, position in places]).astype(np.int64)
    sums = heard["t0.s0.sums"]
    if differences:  # of neighbours in one column: the rows of a single group
        same = np.nonzero(places[1:, 0] == places[:-1, 0])[0]
        sums, truth = sums[same + 1] - sums[same], truth[same + 1] - truth[same]
    divisor = inverse(Public(job, ROWS).windows[:N][::-1].copy())
    guessed = np.array([rows_in(row, divisor)[:ROWS] for row in sums])
    return guessed, truth


@pytest.mark.parametrize("least", [20, 100])
def test_without_re_randomisation_every_row_is_read(
    least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows a group has: a sum of public vectors names them."""
    guessed, truth = attack(lambda self, sums, body, key: None, monkeypatch, least)
    assert truth.shape[0] > 20
    assert 0.05 < truth.mean() < 0.95
    assert np.array_equal(guessed, truth)


def test_one_encryption_for_all_sums_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Randomisers.apply

    def reused(self: Randomisers, sums: U32, body: U32, key: U32) -> None:
        one, one_body = np.zeros((1, N), np.uint32), np.zeros((1, 2), np.uint32)
        original(self, one, one_body, key)
        sums += one
        body += one_body

    guessed, truth = attack(reused, monkeypatch, 100, differences=True)
    assert np.array_equal(guessed, truth)


@pytest.mark.parametrize("least", [20, 100])
@pytest.mark.parametrize("differences", [False, True])
def test_with_it_nothing_is_read(
    least: int, differences: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    guessed, truth = attack(None, monkeypatch, least, differences)
    assert np.isin(guessed, (0, 1, Q - 1)).mean() < 1e-3
    for bit in (0, 1, 16, 31):  # whichever bit one guesses by: no better than chance
        right = ((guessed >> np.uint32(bit)) & 1) == truth
        expected = np.where(truth == 1, 0.5, 0.5).sum()
        z = (right.sum() - expected) / np.sqrt(0.25 * right.size)
        assert abs(z) < 4.5, (bit, z)
    assert stats.kstest(guessed.ravel() / Q, "uniform").pvalue > 1e-5


# --- the other way: labels at a feature holder ------------------------------------------------------


def areas(scores: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(stats.mannwhitneyu(scores[y == 1], scores[y == 0]).pvalue)


def test_a_feature_holder_sees_no_labels_in_what_it_is_sent() -> None:
    """Before the first split, a body must say nothing of its row's label, by any bit, and must change every
    time."""
    here, job = world(20_000, 32), b"labels"
    y = here.y["logistic"]
    body = overheard(here, job, "t0.body")["t0.body"]
    for words in (*body, body[0] ^ body[1], body[0] - body[1]):
        for scores in (words / Q, words & 1, words >> np.uint32(24), words & 0xFFFF):
            assert areas(np.asarray(scores, np.float64), y) > 1e-5
        assert stats.kstest(words / Q, "uniform").pvalue > 1e-5


def test_the_same_gradients_look_different_in_every_tree() -> None:
    here = world(3_000, 33)
    bodies: list[np.ndarray] = []

    def tap(frame: Frame) -> Frame:
        if frame.step.endswith(".body") and ".s" not in frame.step:
            bodies.append(np.array(frame.body))
        return frame

    settings = Settings(
        loss="squared", trees=3, depth=1, learning_rate=1e-6
    )  # gradients hardly move
    fit(
        here.guest,
        here.y["squared"],
        here.hosts,
        settings,
        tap=tap,
        entropy=lambda _: SystemEntropy(),
    )
    assert len(bodies) == 3
    for one, two in ((0, 1), (0, 2), (1, 2)):
        difference = (bodies[one] - bodies[two]).ravel()
        assert (
            stats.kstest(difference / Q, "uniform").pvalue > 1e-6
        )  # equal secrets would leave two small errors


def test_partitions_tell_labels_to_who_knows_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the claims admit: a feature holder that knows 5 % of the labels guesses the others by leaf mates,
    nearly as well as the model. A tree that is the label holder's own is not seen."""
    seen: list[Partition] = []

    class Kept(Partition):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)
            seen.append(self)

    monkeypatch.setattr(features, "Partition", Kept)  # the feature holder's, not the label holder's
    here = world(4_000, 34)
    y = here.y["logistic"]
    settings = Settings(trees=12, depth=4, learning_rate=0.3, own_trees=1)
    model = fit(here.guest, y, here.hosts, settings, entropy=lambda _: SystemEntropy())
    assert len(seen) == settings.trees - 1
    known = np.zeros(y.size, np.bool_)
    known[np.random.default_rng(35).choice(y.size, 200, replace=False)] = True
    guess = np.zeros(y.size)
    for grown in seen:
        for leaf in grown.nodes:
            rows = grown.rows(leaf)
            mates = rows[known[rows]]
            guess[rows] += (y[mates].sum() + 0.5) / (mates.size + 1)
    mine = auc(y[~known], guess[~known])
    theirs = auc(y[~known], model.predict(here.guest, here.hosts)[~known])
    assert theirs - 0.08 < mine < theirs + 0.02
    assert mine > 0.65


# --- a feature holder that plays two tables --------------------------------------------------------


@pytest.mark.parametrize("flipped", [8, 64])
def test_rows_sent_left_must_be_those_that_were_added_up(flipped: int) -> None:
    """The label holder has the sums of its own gradients, and sees which rows go left: they must fit."""
    made = world(3_000, 5, hosts=2)

    def other_rows(frame: Frame) -> Frame:
        ours = (frame.source, frame.target) == (1, 0) and frame.step.endswith(".directions")
        if not ours or not isinstance(frame.body, np.ndarray):
            return frame
        changed = frame.body.copy()
        changed[: flipped // 8] ^= 0xFF
        return replace(frame, body=changed)

    with pytest.raises(Foul) as foul:
        fit(made.guest, made.y["logistic"], made.hosts, Settings(trees=2, depth=4), tap=other_rows)
    assert foul.value.code == "learn.directions"
    assert "host-1" in foul.value.message


def test_a_party_that_sums_one_table_and_splits_by_another_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It adds up the columns that it committed to, and parts the rows by two swapped ones."""
    made, honest = world(3_000, 6), Owned.lefts

    def lefts(self: Owned, column: int, *rest: Any) -> Any:
        swapped = {0: 1, 1: 0}.get(column, column)
        return honest(self, swapped if self.party == "host-1" else column, *rest)

    monkeypatch.setattr(Owned, "lefts", lefts)
    with pytest.raises(Foul) as foul:
        fit(made.guest, made.y["logistic"], made.hosts, Settings(trees=4, depth=4))
    assert foul.value.code == "learn.directions"


@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
def test_honest_sums_are_within_their_noise(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the limit is never reached: nobody honest is accused."""
    monkeypatch.setattr(label, "SURE", label.SURE / 2)
    made = world(2_500, 7, hosts=2)
    fit(made.guest, made.y[loss], made.hosts, Settings(loss=loss, trees=4, depth=5, row_share=0.8))
