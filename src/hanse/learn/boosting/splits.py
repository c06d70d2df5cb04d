"""The label holder's side of a level: from decrypted group sums to prefix sums, gains and the best split.

Sums are [nodes, columns, positions, 2]: gradient and curvature of the rows whose code is at most the position.
They are right only where a group ends, and are read only there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting.bins import BUILT, BUILT_EMPTY, ENDS, SIBLING, SIBLING_EMPTY, U8

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Offer:
    """What one owner's columns offer at a level: prefix sums, where missing stand alone, and valid splits [..]."""

    prefix: F64  # [nodes, columns, positions, 2]
    free: NDArray[
        np.bool_
    ]  # [nodes, columns]: position 0 holds the missing values and nothing else
    valid: (
        U8  # [nodes, columns, positions]: 1 with missing values left, 2 with missing values right
    )
    noise: F64  # [2] standard deviation of a prefix sum


def sent(state: U8) -> NDArray[np.bool_]:
    """Which positions come with a ciphertext, of the prefix sum up to there: ends of groups that neither sibling
    lacks. Not the last end of a column: there the sum is the node's, which the label holder has."""
    wanted = (state & (ENDS | BUILT_EMPTY | SIBLING_EMPTY)) == ENDS
    return np.asarray(wanted & ~last_ends(state))


def last_ends(state: U8) -> NDArray[np.bool_]:
    """The last end of each column."""
    ends = (state & ENDS) > 0
    later = np.cumsum(ends[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(ends & (later == 1))


def offer(
    state: U8, sums: F64, parents: F64, pairs: list[tuple[int, int | None]], nodes: int, noise: F64
) -> Offer:
    """Prefix sums of both siblings of each pair, from state bytes and decrypted prefix sums [sent, 2].

    ``parents`` [pairs, columns, positions, 2] are the parents' prefix sums (zeros at the root).
    """
    came = sent(state)
    read = np.zeros((*state.shape, 2))
    read[came] = sums
    ends = (state & ENDS) > 0
    built = np.zeros_like(parents)
    run, before = np.zeros((*state.shape[:2], 2)), np.zeros((*state.shape[:2], 2))
    for p in range(state.shape[-1]):
        # The sibling has none of the parent's rows since the last end: they are all in the summed node.
        all_here = ((state[..., p] & SIBLING_EMPTY) > 0)[..., None]
        run = run + np.where(all_here, parents[..., p, :] - before, 0.0)
        run = np.where(came[..., p][..., None], read[..., p, :], run)
        built[..., p, :] = run
        before = np.where(ends[..., p][..., None], parents[..., p, :], before)
    shape = (nodes, *state.shape[1:])
    out = Offer(
        np.zeros((*shape, 2)), np.zeros(shape[:2], np.bool_), np.zeros(shape, np.uint8), noise
    )
    for number, (node, sibling) in enumerate(pairs):
        out.prefix[node], out.free[node] = built[number], ends[number, :, 0]
        out.valid[node] = state[number] // BUILT & 3
        if sibling is not None:
            out.prefix[sibling] = parents[number] - built[number]
            out.free[sibling] = ends[number, :, 0]
            out.valid[sibling] = state[number] // SIBLING & 3
    return out


def gains(given: Offer, totals: F64, l2: float) -> F64:
    """Loss saved by each split [nodes, columns, positions, 2] (missing left, missing right); -inf if invalid.

    ``totals`` [nodes, 2] are exact. What noise alone would add to a gain on average is taken off, and a side whose
    curvature is within three deviations of nothing is not trusted.
    """
    missing = np.where(given.free[..., None], given.prefix[..., 0, :], 0.0)[:, :, None, :]
    left = np.stack([given.prefix, given.prefix - missing], axis=3)  # [.., positions, 2 ways, 2]
    whole = totals[:, None, None, None, :]
    right = whole - left
    floor = 3 * given.noise[1]
    fine = (left[..., 1] > floor) & (right[..., 1] > floor)
    fine &= np.stack([given.valid & 1, given.valid & 2], axis=-1) > 0
    blur = given.noise[0] ** 2

    def part(side: F64) -> F64:
        safe = np.where(fine, side[..., 1] + l2, 1.0)
        return np.asarray((side[..., 0] ** 2 - blur) / safe)

    alone = whole[..., 0] ** 2 / (whole[..., 1] + l2)
    return np.where(fine, (part(left) + part(right) - alone) / 2, -np.inf)


def best(offers: list[Offer], totals: F64, l2: float, minimum: float) -> NDArray[np.int64]:
    """[nodes, 4]: owner (number in ``offers``, -1 for none), column, position, missing left. Ties: the first."""
    nodes = totals.shape[0]
    out = np.full((nodes, 4), -1, np.int64)
    top = np.full(nodes, minimum)
    for owner, given in enumerate(offers):
        if given.prefix.shape[1] == 0:
            continue
        gain = gains(given, totals, l2)
        flat = gain.reshape(nodes, -1)
        at = flat.argmax(axis=1)
        high = flat[np.arange(nodes), at]
        column, position, way = np.unravel_index(at, gain.shape[1:])
        for node in np.nonzero(high > top)[0]:
            out[node] = owner, column[node], position[node], 1 - way[node]
            top[node] = high[node]
    return out
