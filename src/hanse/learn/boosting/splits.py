"""The label holder's choice: from decrypted group sums to prefix sums, gains and the best split of each node.

Sums are [columns, positions, outputs] of a node: gradients, then curvatures, of the rows whose code is at most the
position. They are right only where a group ends, and are read only there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting.bins import BUILT, BUILT_EMPTY, ENDS, SIBLING, SIBLING_EMPTY, U8, Flags
from hanse.learn.boosting.kernels import search_numeric
from hanse.learn.boosting.partition import LEAF, Pair
from hanse.learn.boosting.settings import Settings

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
CATEGORY = 2  # kind of a column; 0 is numeric, 1 and -1 numeric and monotone
NO_BOUNDS = (-np.inf, np.inf)


@dataclass(frozen=True)
class Offer:
    """What one owner's columns offer at one node."""

    prefix: F64  # [columns, positions, outputs]
    ends: Flags  # [columns, positions]: a group ends here
    filled: Flags  # [columns, positions]: and it has rows in this node
    valid: U8  # [columns, positions]: 1 with missing values left, 2 with missing values right
    noise: F64  # [outputs] standard deviation of a prefix sum


@dataclass(frozen=True)
class Candidate:
    """The best split of a node: whose, where in the owner's list, its gain and its children's weights."""

    owner: int
    gain: float
    column: int
    position: int = 0
    missing_left: bool = False
    mask: int = 0  # of codes that go left, of a category column
    sign: int = 0
    weights: tuple[float, float] = (0.0, 0.0)


def sent(state: U8) -> Flags:
    """Which positions come with a ciphertext, of the prefix sum up to there: ends of groups that neither sibling
    lacks. Not the last end of a column: there the sum is the node's, which the label holder has."""
    wanted = (state & (ENDS | BUILT_EMPTY | SIBLING_EMPTY)) == ENDS
    return np.asarray(wanted & ~last_ends(state))


def last_ends(state: U8) -> Flags:
    """The last end of each column."""
    ends = (state & ENDS) > 0
    later = np.cumsum(ends[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(ends & (later == 1))


def offers(
    state: U8, sums: F64, parents: F64, totals: dict[int, F64], pairs: list[Pair], noise: F64
) -> dict[int, Offer]:
    """Offers of both siblings of each pair, from state bytes [pairs, columns, positions] and decrypted prefix sums
    [sent, outputs].

    ``parents`` [pairs, columns, positions, outputs] are the parents' prefix sums (zeros at the root); ``totals``
    the nodes' exact sums.
    """
    came, ends, last = sent(state), (state & ENDS) > 0, last_ends(state)
    shape = (*state.shape, sums.shape[1])
    read = np.zeros(shape)
    read[came] = sums
    whole = np.array([totals[node] for node, _ in pairs])[:, None, :]
    built = np.zeros(shape)
    run, before = np.zeros((*shape[:2], shape[3])), np.zeros((*shape[:2], shape[3]))
    for p in range(state.shape[-1]):
        # The sibling has none of the parent's rows since the last end: they are all in the summed node.
        all_here = ((state[..., p] & SIBLING_EMPTY) > 0)[..., None]
        run = run + np.where(all_here, parents[..., p, :] - before, 0.0)
        run = np.where(came[..., p][..., None], read[..., p, :], run)
        run = np.where(last[..., p][..., None], whole, run)
        built[..., p, :] = run
        before = np.where(ends[..., p][..., None], parents[..., p, :], before)
    found: dict[int, Offer] = {}
    for number, (node, sibling) in enumerate(pairs):
        here, its_ends = state[number], ends[number]
        filled = its_ends & ((here & BUILT_EMPTY) == 0)
        found[node] = Offer(built[number], its_ends, filled, here // BUILT & 3, noise)
        if sibling is not None:
            filled = its_ends & ((here & SIBLING_EMPTY) == 0)
            other = parents[number] - built[number]
            found[sibling] = Offer(other, its_ends, filled, here // SIBLING & 3, noise)
    return found


def best(
    owner: int, given: Offer, kinds: I8, total: F64, bounds: tuple[float, float], asked: Settings,
    counts: F64 | None = None,
) -> Candidate | None:  # fmt: skip
    """The best split that one owner offers at a node with sums ``total`` [outputs], if any gains enough.

    ``kinds`` [columns]; ``counts`` [columns, positions]: rows per code where they are known (own columns), else
    every group has enough rows. Ties: the first.
    """
    found = []
    if given.prefix.shape[0] and given.valid.any():
        found.append(_best_numeric(owner, given, kinds, total, bounds, asked))
    for column in np.flatnonzero(kinds == CATEGORY):
        one = None if counts is None else counts[column]
        found.append(_best_category(owner, given, int(column), total, asked, one))
    real = [c for c in found if c is not None and c.gain > asked.minimum_gain]
    return max(real, key=lambda c: c.gain) if real else None


def _best_numeric(
    owner: int, given: Offer, kinds: I8, total: F64, bounds: tuple[float, float], asked: Settings
) -> Candidate | None:
    free = np.ascontiguousarray(given.ends[:, 0])
    gain, column, position, way = search_numeric(
        given.prefix, free, given.valid, kinds, total, given.noise, asked.l2, *bounds
    )
    if column < 0:
        return None
    left = given.prefix[column, position]
    if way == 1 and free[column]:
        left = left - given.prefix[column, 0]
    weights = (weight(left, asked.l2, bounds), weight(total - left, asked.l2, bounds))
    return Candidate(
        owner, gain, column, position, way == 0, sign=int(kinds[column]), weights=weights
    )


def gains(left: F64, total: F64, noise: F64, l2: float, allowed: Flags) -> F64:
    """Loss saved by each split with sums ``left`` [splits, outputs] on one side, noise [splits, outputs]; minus
    infinity where not allowed. The rules are those of `search_numeric`."""
    classes = total.size // 2
    blur, floor = noise[:, :classes] ** 2, 3 * noise[:, classes:]
    right = total - left
    trusted = np.sqrt((floor**2).sum(axis=-1))
    fine = allowed & (left[:, classes:].sum(axis=-1) > trusted)
    fine &= right[:, classes:].sum(axis=-1) > trusted

    def part(side: F64) -> F64:
        slope, curve = side[:, :classes], np.maximum(side[:, classes:], floor)
        return np.asarray(((slope**2 - blur) / (curve + l2 + 1e-12)).sum(axis=-1))

    alone = (total[:classes] ** 2 / (total[classes:] + l2 + 1e-12)).sum()
    return np.where(fine, (part(left) + part(right) - alone) / 2, -np.inf)


def weight(sums: F64, l2: float, bounds: tuple[float, float] = NO_BOUNDS) -> float:
    """The best score of one output [gradient, curvature], within bounds."""
    return float(np.clip(-sums[0] / (sums[-1] + l2 + 1e-12), *bounds))


def _best_category(
    owner: int, given: Offer, column: int, total: F64, asked: Settings, counts: F64 | None
) -> Candidate | None:
    """The best subset of a category column's groups: sorted by their mean slope, some first ones go left (Fisher
    1958), for each class in turn."""
    at = np.flatnonzero(given.ends[column])
    # Own prefix sums start at nothing; what stands before the first end is in it.
    each = np.diff(given.prefix[column, at], axis=0, prepend=0.0)
    full = given.filled[column, at]
    groups = np.flatnonzero(full)
    if groups.size < 2:
        return None
    classes = total.size // 2
    l2 = asked.l2 + asked.category_l2
    top: tuple[float, NDArray[np.int64]] | None = None
    for c in range(classes):
        slope = each[groups, c] / (
            np.maximum(each[groups, classes + c], 0) + asked.category_l2 + 1e-12
        )
        order = groups[np.argsort(slope, kind="stable")]
        left = each[order].cumsum(axis=0)[:-1]
        allowed = np.ones(order.size - 1, np.bool_)
        if counts is not None:
            rows = np.add.reduceat(counts, np.concatenate([[0], at[:-1] + 1]))[order].cumsum()
            allowed = (rows[:-1] >= asked.minimum_rows) & (
                rows[-1] - rows[:-1] >= asked.minimum_rows
            )
        cut = np.arange(1, order.size)
        edges = np.sqrt(2 * np.minimum(cut, order.size - cut))  # prefix sums that a side is made of
        found = gains(left, total, given.noise * edges[:, None], l2, allowed)
        k = int(found.argmax())
        if np.isfinite(found[k]) and (top is None or found[k] > top[0]):
            top = float(found[k]), order[: k + 1]
    if top is None:
        return None
    return Candidate(owner, top[0], column, mask=_mask(given, column, at, top[1], total))


def _mask(
    given: Offer, column: int, at: NDArray[np.int64], lefts: NDArray[np.int64], total: F64
) -> int:
    """Bits of the codes that go left. Codes without rows here go where more curvature is."""
    classes = total.size // 2
    each = np.diff(given.prefix[column, at], axis=0, prepend=0.0)
    heavy = each[lefts, classes:].sum() > total[classes:].sum() / 2
    mask, before = 0, 0
    chosen = set(lefts.tolist())
    for group, end in enumerate(at.tolist()):
        left = group in chosen if given.filled[column, end] else heavy
        if left:
            mask |= ((1 << (end + 1)) - 1) ^ ((1 << before) - 1)
        before = end + 1
    if heavy:
        mask |= ((1 << given.ends.shape[1]) - 1) ^ ((1 << before) - 1)
    return mask


def left_sum(given: Offer, candidate: Candidate) -> tuple[F64, F64]:
    """(the sum of the rows that a split sends left [outputs], its standard deviation [outputs]), as was offered."""
    column = candidate.column
    if not candidate.mask:
        left = given.prefix[column, candidate.position]
        if given.ends[column, 0] and not candidate.missing_left:
            left = left - given.prefix[column, 0]
        return left, given.noise * np.sqrt(2)
    at = np.flatnonzero(given.ends[column])
    each = np.diff(given.prefix[column, at], axis=0, prepend=0.0)
    chosen = np.array([candidate.mask >> int(end) & 1 for end in at], np.bool_)
    return each[chosen].sum(axis=0), given.noise * np.sqrt(2 * max(1, int(chosen.sum())))


def decision(node: int, chosen: Candidate | None) -> list[int]:
    """A row of what parties are told: node, owner, column, position, missing left, and four words of the mask."""
    if chosen is None:
        return [node, LEAF, *[0] * 7]
    words = [chosen.mask >> (64 * k) & (1 << 64) - 1 for k in range(4)]
    signed = [w - (1 << 64) if w >> 63 else w for w in words]
    return [node, chosen.owner, chosen.column, chosen.position, int(chosen.missing_left), *signed]


def mask_of(row: NDArray[np.int64]) -> int:
    """The mask of a `decision`."""
    return sum((int(w) & (1 << 64) - 1) << (64 * k) for k, w in enumerate(row[5:9]))


WORDS = 9  # of a decision
