"""Padding against a crafted crowd: what a seat holder sees of one person, however it chose its own rows.

The attacker here is seat 0 together with every provider but the last. Its own two pairs' keys are fixed, so that
the only thing it does not know is what seats 1 and 2 drew: its view is true counts + constants + one draw.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from align_samples import hashed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hanse.align import JoinPolicy, dummies_per_provider
from hanse.align.join import draw_dummies, extended, padding_law, shared_patterns
from hanse.engine.group import group
from hanse.engine.masks import Stream, derive
from hanse.engine.noise import ShiftedLaplace
from hanse.engine.session import Session
from secret_stage import Dealer

ALPHA = 1e-6
KNOWN = [derive(bytes(32), "pair 0"), derive(bytes(32), "pair 1")]  # components 0 and 1: seat 0's
DRAWS = 2000


def padded_ids(
    tables: list[np.ndarray], law: ShiftedLaplace, keys: list[bytes]
) -> list[np.ndarray]:
    """Ids of all rows after padding, as the cipher would see them. No message is needed."""
    shares = [Dealer(n).words(ids.reshape(-1, 1)) for n, ids in enumerate(tables)]
    seats = []
    for seat in range(3):
        s = Session(None, seat, keys[seat], keys[(seat + 1) % 3])  # type: ignore[arg-type]
        dummies = draw_dummies(s, len(tables), law)
        seats.append(
            [extended(share[seat], more) for share, more in zip(shares, dummies, strict=True)]
        )
    return [a.left[:, 0] ^ b.left[:, 0] ^ c.left[:, 0] for a, b, c in zip(*seats, strict=True)]


def seen(tables: list[np.ndarray], law: ShiftedLaplace, keys: list[bytes]) -> dict[int, int]:
    """Pattern counts, as the opened tags show them (a cipher permutes: equal ids, equal tags)."""
    return group(padded_ids(tables, law, keys)).sizes


def views(
    tables: list[np.ndarray], law: ShiftedLaplace, patterns: list[int], name: str
) -> np.ndarray:
    """Counts [draws, patterns] over fresh draws of the pair that seat 0 is not in."""
    rows = []
    for number in range(DRAWS):
        counts = seen(tables, law, [*KNOWN, derive(bytes(32), f"{name} {number}")])
        rows.append([counts.get(mask, 0) for mask in patterns])
    return np.array(rows)


def constant_part(law: ShiftedLaplace, providers: int) -> np.ndarray:
    """What seat 0's own two pairs drew, by pattern: it can subtract that."""
    total = np.zeros(len(shared_patterns(providers)), int)
    for key in KNOWN:
        stream = Stream(derive(key, "stream|"))
        for place, mask in enumerate(shared_patterns(providers)):
            total[place] += int(law.draw(stream, 1)[0])
            stream.take(2 * law.shift * (1 + mask.bit_count()))
    return total


def require_private(present: np.ndarray, absent: np.ndarray, policy: JoinPolicy) -> None:
    """P(event | present) <= e**epsilon * P(event | absent) + delta, and the other way, for all
    half-lines of the attacker's best statistic: Clopper-Pearson bounds, alpha 1e-6 over all events."""
    cuts = range(int(min(present.min(), absent.min())), int(max(present.max(), absent.max())) + 2)
    alpha = ALPHA / (4 * len(cuts))
    for one, other in ((present, absent), (absent, present)):
        for cut in cuts:
            for event in (lambda x, cut=cut: x >= cut, lambda x, cut=cut: x < cut):
                hits, base = int(event(one).sum()), int(event(other).sum())
                low = stats.beta.ppf(alpha, hits, one.size - hits + 1) if hits else 0.0
                high = (
                    stats.beta.isf(alpha, base + 1, other.size - base) if base < other.size else 1.0
                )
                assert low <= math.exp(policy.epsilon) * high + policy.delta, (
                    f"an event at {cut} tells"
                )


def fits(values: np.ndarray, law: ShiftedLaplace) -> float:
    """P-value of draws of one pair against the law, thin cells pooled."""
    expected = values.size * law.probabilities()
    if values.min() < 0 or values.max() >= expected.size:
        return 0.0  # a value that the law cannot give
    often = expected >= 8
    histogram = np.bincount(values, minlength=expected.size)
    rest = [] if often.all() else [(histogram[~often].sum(), expected[~often].sum())]
    observed = [*histogram[often], *(r[0] for r in rest)]
    return float(stats.chisquare(observed, [*expected[often], *(r[1] for r in rest)]).pvalue)


TARGET = 7
TWO = JoinPolicy(1.0, 0.01)
THREE = JoinPolicy(1.0, 0.02)


def two_tables(present: bool) -> list[np.ndarray]:
    """The attacker's crowd is the target alone; the victim's table has it or someone else."""
    return [hashed([TARGET]), hashed([TARGET if present else 99, 50, 51])]


def three_tables(present: bool) -> list[np.ndarray]:
    """Target in both of the attacker's tables: in the third one it moves from {0, 1} to {0, 1, 2}."""
    return [hashed([TARGET]), hashed([TARGET]), hashed([TARGET if present else 99, 50])]


def test_two_providers_one_count_moves() -> None:
    """The view is exactly count + one draw of the law, and one person hides in it: 2,000 draws a world."""
    law = padding_law(2, TWO)
    present, absent = (views(two_tables(p), law, [3], f"two {p}")[:, 0] for p in (True, False))
    own = int(constant_part(law, 2)[0])
    assert fits(present - own - 1, law) > ALPHA
    assert fits(absent - own, law) > ALPHA
    assert fits(present - own, law) < ALPHA, "the test can tell the worlds apart at all"
    require_private(present, absent, TWO)


def test_three_providers_two_counts_move() -> None:
    """The target moves one count down and one up; the best statistic is their difference."""
    law = padding_law(3, THREE)
    patterns = shared_patterns(3)
    assert patterns == [3, 5, 6, 7]
    present, absent = (views(three_tables(p), law, patterns, f"three {p}") for p in (True, False))
    own = constant_part(law, 3)
    assert fits(present[:, 3] - own[3] - 1, law) > ALPHA
    assert fits(absent[:, 3] - own[3], law) > ALPHA
    assert fits(present[:, 0] - own[0], law) > ALPHA
    assert fits(absent[:, 0] - own[0] - 1, law) > ALPHA
    require_private(present[:, 3] - present[:, 0], absent[:, 3] - absent[:, 0], THREE)


def test_the_draws_of_different_patterns_are_independent() -> None:
    """Chi-square of each pair of patterns (above or below the shift), 2,000 draws, alpha 1e-6."""
    law = padding_law(3, THREE)
    own = constant_part(law, 3)
    counts = views([hashed([])] * 3, law, shared_patterns(3), "independent") - own
    above = counts > law.shift
    for a in range(4):
        for b in range(a):
            table = np.zeros((2, 2))
            np.add.at(table, (above[:, a].astype(int), above[:, b].astype(int)), 1)
            assert stats.chi2_contingency(table).pvalue > ALPHA


@pytest.mark.parametrize(
    ("law", "policy"),
    [(ShiftedLaplace.for_privacy(6.0, 0.01), TWO), (ShiftedLaplace.for_privacy(4.0, 0.01), TWO)],
    ids=["epsilon 6", "epsilon 4"],
)
def test_padding_that_is_too_thin_is_noticed(law: ShiftedLaplace, policy: JoinPolicy) -> None:
    present, absent = (views(two_tables(p), law, [3], f"thin {p}")[:, 0] for p in (True, False))
    with pytest.raises(AssertionError, match="tells"):
        require_private(present, absent, policy)


def test_noise_of_the_attackers_own_pairs_is_no_protection() -> None:
    """Were only seat 0's two pairs to draw, its view minus what it knows would be the true count."""
    law = padding_law(2, TWO)
    own = int(constant_part(law, 2)[0])
    unknown = derive(bytes(32), "two True 0")
    only_draw = seen(two_tables(True), law, [*KNOWN, unknown])[3] - own - 1
    assert 0 <= only_draw <= 2 * law.shift
    exact = [np.full(DRAWS, own + present) for present in (True, False)]
    with pytest.raises(AssertionError, match="tells"):
        require_private(exact[0], exact[1], TWO)


# --- shape and secrecy of the dummies -----------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 31), max_size=40), st.integers(0, 1 << 32))
def test_rows_per_provider_are_a_constant_whatever_is_drawn(
    providers: int, people: list[int], seed: int
) -> None:
    policy = JoinPolicy(4.0, 0.1)
    tables = [hashed([i for i, m in enumerate(people) if m >> t & 1]) for t in range(providers)]
    keys = [derive(bytes(32), f"{seed} {i}") for i in range(3)]
    ids = padded_ids(tables, padding_law(providers, policy), keys)
    for table, rows in zip(tables, ids, strict=True):
        assert rows.size == table.size + dummies_per_provider(providers, policy)
        assert np.unique(rows).size == rows.size
        assert (rows[: table.size] == table).all()


def shares_of_dummies(component: int) -> list[Any]:
    """What each seat holds of the dummy rows that the pair of ``component`` made, in table 0."""
    law = padding_law(2, TWO)
    empty = Dealer(0).words(np.zeros((0, 3), np.uint64))
    keys = [*KNOWN, derive(bytes(32), "third")]
    out = []
    for seat in range(3):
        s = Session(None, seat, keys[seat], keys[(seat + 1) % 3])  # type: ignore[arg-type]
        table = extended(empty[seat], draw_dummies(s, 2, law)[0])
        slots = slice(component * 2 * law.shift, (component + 1) * 2 * law.shift)
        out.append(table[slots])
    return out


@pytest.mark.parametrize("component", range(3))
def test_a_pairs_dummies_are_nothing_to_the_third_seat(component: int) -> None:
    """They lie in the component which exactly that pair holds; their columns are zero at all three."""
    seats = shares_of_dummies(component)
    third = (component + 1) % 3
    assert not seats[third].left.any()
    assert not seats[third].right.any()
    holder, other = seats[component], seats[(component + 2) % 3]
    assert (holder.left == other.right).all()
    assert holder.left[:, 0].all()
    assert not holder.right.any()
    assert not other.left.any()
    for seat in seats:
        assert not seat.left[:, 1:].any()
        assert not seat.right[:, 1:].any()


def test_one_provider_needs_no_padding() -> None:
    """Its one pattern's count is its declared capacity."""
    assert shared_patterns(1) == []
    keys = [*KNOWN, derive(bytes(32), "x")]
    assert padded_ids([hashed(range(5))], padding_law(1, TWO), keys)[0].size == 5
