"""Guessing from what a seat sees of an alignment: noised counts of anonymous groups, with crowds of one.

The attacker is seat 0 with every provider but the last. It knows all rows but the target's, and its own two pairs'
dummies; it does not know what seats 1 and 2 drew. 4,000 attempts with the very rows and dummies of the protocol's
padding (a cipher permutes, so equal ids are equal tags: tests/align shows that of `align` as a whole).
"""

from __future__ import annotations

import numpy as np
import pytest
from guessing import best_share, bits, guess, most, require_better, require_no_better

from hanse.align import JoinPolicy
from hanse.align.join import draw_dummies, padding_law, shared_patterns
from hanse.engine.group import group
from hanse.engine.masks import derive
from hanse.engine.noise import ShiftedLaplace
from hanse.engine.session import Session

ATTEMPTS = 4000
OWN = [derive(bytes(32), "pair 0"), derive(bytes(32), "pair 1")]  # of components 0 and 1: seat 0's
TARGET = 7
EPSILON, DELTA = 1.0, 0.01


def dummies(
    providers: int, law: ShiftedLaplace, name: str, pairs: tuple[int, ...]
) -> list[np.ndarray]:
    """Ids of these pairs' dummies per table, assembled from the seats' shares; ``name`` keys the third pair."""
    keys = [*OWN, derive(bytes(32), name)]
    seats = [
        draw_dummies(Session(None, seat, keys[seat], keys[(seat + 1) % 3]), providers, law)  # type: ignore[arg-type]
        for seat in range(3)
    ]
    made = []
    for t in range(providers):
        pair_of = [
            pair for pair in range(3) for mask in shared_patterns(providers) if mask >> t & 1
        ]
        parts = zip(*(seat[t] for seat in seats), pair_of, strict=True)
        made.append(
            np.concatenate([a[0] ^ b[0] ^ c[0] for a, b, c, pair in parts if pair in pairs])
        )
    return made


def view(
    tables: list[list[int]], law: ShiftedLaplace, name: str, pairs: tuple[int, ...] = (0, 1, 2)
) -> np.ndarray:
    """The counts of every set of two or more providers that the opened tags show."""
    more = dummies(len(tables), law, name, pairs)
    ids = [
        np.concatenate([np.array(table, np.uint64), extra])
        for table, extra in zip(tables, more, strict=True)
    ]
    sizes = group(ids).sizes
    return np.array([sizes.get(mask, 0) for mask in shared_patterns(len(tables))])


def tables_of(providers: int, secret: int) -> list[list[int]]:
    """The attacker's tables hold the target alone; the last provider's has it, or somebody else."""
    return [[TARGET]] * (providers - 1) + [[TARGET if secret else 99, 50, 51]]


def own_part(providers: int, law: ShiftedLaplace) -> np.ndarray:
    """What seat 0's own two pairs put into its view: it subtracts that."""
    return view([[] for _ in range(providers)], law, "", pairs=(0, 1))


def attacked(providers: int, law: ShiftedLaplace, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(secret bits, views minus all that the attacker knows [attempts, patterns])."""
    secret = bits(ATTEMPTS, seed)
    seen = np.array([
        view(tables_of(providers, int(bit)), law, f"{providers} {seed} {i}")
        for i, bit in enumerate(secret)
    ])  # fmt: skip
    return secret, seen - own_part(providers, law)


def moves(providers: int) -> tuple[np.ndarray, np.ndarray]:
    """The target's own part of the counts, if the last provider has it and if not."""
    patterns = shared_patterns(providers)
    all_of_them, attackers = (1 << providers) - 1, (1 << (providers - 1)) - 1
    there = np.array([int(mask == all_of_them) for mask in patterns])
    elsewhere = np.array([int(mask == attackers) for mask in patterns])
    return there, elsewhere


def log_of(law: ShiftedLaplace, drawn: np.ndarray) -> np.ndarray:
    """Log probability of draws; minus infinity (a large number) for what the law cannot give."""
    padded = np.concatenate([[0.0], law.probabilities(), [0.0]])
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(padded), -1e6)
    return logs[np.clip(drawn + 1, 0, padded.size - 1)]


def guesses(
    providers: int, secret: np.ndarray, views: np.ndarray, law: ShiftedLaplace
) -> np.ndarray:
    there, elsewhere = moves(providers)
    ratios = (log_of(law, views - there) - log_of(law, views - elsewhere)).sum(axis=1)
    return np.asarray(guess(ratios, 21) == secret)


@pytest.mark.parametrize("providers", [2, 3])
def test_the_best_seat_guesses_no_better_than_the_joins_epsilon_allows(providers: int) -> None:
    law = padding_law(providers, JoinPolicy(EPSILON, DELTA))
    secret, views = attacked(providers, law, 31)
    right = guesses(providers, secret, views, law)
    require_no_better(right, most(EPSILON, DELTA))
    require_better(right, reachable(providers, law))


def reachable(providers: int, law: ShiftedLaplace) -> float:
    """The best attacker's share, exactly: one count moves (two providers), or two do."""
    p = np.append(law.probabilities(), 0.0)
    moved = np.roll(p, 1)
    if providers == 2:
        return best_share(p, moved)
    return best_share(np.outer(p, moved), np.outer(moved, p))


def test_what_the_attacker_can_reach_is_within_the_bound_and_above_chance() -> None:
    for providers in (2, 3):
        share = reachable(providers, padding_law(providers, JoinPolicy(EPSILON, DELTA)))
        assert 0.6 < share <= most(EPSILON, DELTA)


def test_with_hardly_any_padding_the_seat_guesses_more() -> None:
    law = ShiftedLaplace.for_privacy(6.0, 0.01)
    secret, views = attacked(2, law, 32)
    with pytest.raises(AssertionError, match="epsilon allows"):
        require_no_better(guesses(2, secret, views, law), most(EPSILON, DELTA))


def test_without_the_other_seats_padding_the_view_is_the_secret() -> None:
    """The third pair's draws are public for once: what is left is the target."""
    law = padding_law(2, JoinPolicy(EPSILON, DELTA))
    secret = bits(50, 33)
    own = own_part(2, law)
    for i, bit in enumerate(secret):
        seen = view(tables_of(2, int(bit)), law, f"open {i}")
        third = view([[], []], law, f"open {i}", pairs=(2,))
        assert (seen - own - third).tolist() == [bit]
