"""The inner loops, compiled once by numba and cached on disk. No protocol here, no keys, no network.

Bit-sliced layout: a *plane* is one bit position of all rows, 64 rows to a ``uint64`` word; row ``64*w + b``
is bit ``b`` of word ``w``. Arrays are C-contiguous. Every function is ``nogil`` so that the threads which
read the network run while a kernel does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

TILE_WORDS = 512  # columns at a time, so that 32 planes of both components stay in cache
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    compiled: Any = njit(cache=True, nogil=True, boundscheck=False)(function)
    return cast("F", compiled)


@_compiled
def and_local(
    xl: np.ndarray, xr: np.ndarray, yl: np.ndarray, yr: np.ndarray, out: np.ndarray
) -> None:
    """out = this seat's XOR-additive part of x & y; all flat, equal length."""
    for i in range(out.size):
        out[i] = (xl[i] & (yl[i] ^ yr[i])) ^ (xr[i] & yl[i])


@_compiled
def mux_step(
    cl: np.ndarray,
    cr: np.ndarray,
    xl: np.ndarray,
    xr: np.ndarray,
    yl: np.ndarray,
    yr: np.ndarray,
    out: np.ndarray,
) -> None:
    """out = this seat's part of (x ^ y) & (y ^ c): one step of a ripple comparison or carry."""
    for i in range(out.size):
        al, ar = xl[i] ^ yl[i], xr[i] ^ yr[i]
        bl, br = yl[i] ^ cl[i], yr[i] ^ cr[i]
        out[i] = (al & (bl ^ br)) ^ (ar & bl)


@_compiled
def xor_into(target: np.ndarray, value: np.ndarray) -> None:
    """target ^= value, flat."""
    for i in range(target.size):
        target[i] ^= value[i]


@_compiled
def simon_start(xl: np.ndarray, xr: np.ndarray, out: np.ndarray) -> None:
    """out[32, words] = this seat's part of S1(x) & S8(x), the only AND of a SIMON round."""
    words = xl.shape[1]
    for p in range(32):
        a, b = (p - 1) & 31, (p - 8) & 31
        for w in range(words):
            out[p, w] = (xl[a, w] & (xl[b, w] ^ xr[b, w])) ^ (xr[a, w] & xl[b, w])


@_compiled
def simon_step(
    xl: np.ndarray,
    xr: np.ndarray,
    yl: np.ndarray,
    yr: np.ndarray,
    zl: np.ndarray,
    zr: np.ndarray,
    key_left: np.uint64,
    key_right: np.uint64,
    out: np.ndarray,
    more: bool,
) -> None:
    """Finish one SIMON round in place (y ^= z ^ S2(x) ^ k; y then plays x) and start the next.

    The AND of the next round reads planes p-1 and p-8 of the new x (= y here), so it follows in a
    second sweep while the planes are still in cache. ``zl`` and ``out`` may be the same buffer.
    """
    words = xl.shape[1]
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    zero = np.uint64(0)
    for first in range(0, words, TILE_WORDS):
        last = min(words, first + TILE_WORDS)
        for p in range(32):
            c = (p - 2) & 31
            kl = ones if (key_left >> np.uint64(p)) & np.uint64(1) else zero
            kr = ones if (key_right >> np.uint64(p)) & np.uint64(1) else zero
            # Slices, because a loop that starts at zero is one that the compiler can vectorise.
            to_left, to_right = yl[p, first:last], yr[p, first:last]
            z_left, z_right = zl[p, first:last], zr[p, first:last]
            x_left, x_right = xl[c, first:last], xr[c, first:last]
            for w in range(to_left.size):
                to_left[w] ^= z_left[w] ^ x_left[w] ^ kl
                to_right[w] ^= z_right[w] ^ x_right[w] ^ kr
        if more:
            for p in range(32):
                a, b = (p - 1) & 31, (p - 8) & 31
                a_left, a_right = yl[a, first:last], yr[a, first:last]
                b_left, b_right = yl[b, first:last], yr[b, first:last]
                target = out[p, first:last]
                for w in range(target.size):
                    target[w] = (a_left[w] & (b_left[w] ^ b_right[w])) ^ (a_right[w] & b_left[w])


@_compiled
def _transpose64(block: np.ndarray) -> None:
    """Transpose a 64 x 64 bit matrix in place (Hacker's Delight, section 7-3, on words)."""
    j = np.uint64(32)
    mask = np.uint64(0x00000000FFFFFFFF)
    while j:
        k = np.uint64(0)
        while k < np.uint64(64):
            low, high = block[k], block[k + j]
            t = ((low >> j) ^ high) & mask
            block[k + j] = high ^ t
            block[k] = low ^ (t << j)
            k = (k + j + np.uint64(1)) & ~j
        j >>= np.uint64(1)
        mask ^= mask << j


@_compiled
def slice_words(
    words: np.ndarray, column: int, rows: np.ndarray, shift: int, out: np.ndarray
) -> None:
    """Bits ``shift .. shift+len(out)`` of ``words[rows, column]`` as planes ``out[bits, words]``.

    ``rows`` holds row numbers; a negative one stands for an absent row (all bits zero).
    """
    block = np.empty(64, np.uint64)
    bits = out.shape[0]
    count = rows.size
    move = np.uint64(shift)
    for w in range(out.shape[1]):
        start = w * 64
        filled = min(64, count - start)
        for i in range(64):
            if i < filled and rows[start + i] >= 0:
                block[i] = words[rows[start + i], column] >> move
            else:
                block[i] = np.uint64(0)
        _transpose64(block)
        for p in range(bits):
            out[p, w] = block[p]


@_compiled
def slice_column(words: np.ndarray, column: int, first: int, count: int, out: np.ndarray) -> None:
    """All 64 bits of ``words[first:first+count, column]`` as planes ``out[64, words]``."""
    block = np.empty(64, np.uint64)
    for w in range(out.shape[1]):
        start = w * 64
        filled = min(64, count - start)
        for i in range(64):
            block[i] = words[first + start + i, column] if i < filled else np.uint64(0)
        _transpose64(block)
        for p in range(64):
            out[p, w] = block[p]


@_compiled
def unslice(planes: np.ndarray, out: np.ndarray) -> None:
    """Planes [bits <= 64, words] back to one ``uint64`` per row."""
    block = np.empty(64, np.uint64)
    bits = planes.shape[0]
    for w in range(planes.shape[1]):
        for p in range(64):
            block[p] = planes[p, w] if p < bits else np.uint64(0)
        _transpose64(block)
        start = w * 64
        for i in range(min(64, out.size - start)):
            out[start + i] = block[i]


@_compiled
def permutation(random: np.ndarray, out: np.ndarray) -> bool:
    """A uniform permutation of range(out.size) by Fisher-Yates from random 64-bit words.

    Words beyond ``out.size`` are spares for rejected draws, so that the draw is exact; False if they
    run out (probability below 2**-1000 with 64 spares).
    """
    n = out.size
    for i in range(n):
        out[i] = i
    spare = n
    for i in range(n - 1, 0, -1):
        m = np.uint64(i + 1)
        r = random[i]
        limit = (np.uint64(0) - m) % m  # 2**64 mod m
        while True:
            low = (r & np.uint64(0xFFFFFFFF)) * m
            high = (r >> np.uint64(32)) * m + (low >> np.uint64(32))
            if r * m >= limit:  # the low 64 bits of the 128-bit product (Lemire 2019)
                break
            if spare >= random.size:
                return False
            r = random[spare]
            spare += 1
        j = np.int64(high >> np.uint64(32))
        swap = out[i]
        out[i] = out[j]
        out[j] = swap
    return True


@_compiled
def compose(first: np.ndarray, second: np.ndarray, out: np.ndarray) -> None:
    """out[i] = first[second[i]]: gathering by ``first`` and then by ``second``, at once."""
    for i in range(out.size):
        out[i] = first[second[i]]


@_compiled
def invert(order: np.ndarray, out: np.ndarray) -> None:
    """The inverse permutation."""
    for i in range(out.size):
        out[order[i]] = i


@_compiled
def gather_both(
    a: np.ndarray,
    b: np.ndarray,
    order: np.ndarray,
    mask: np.ndarray,
    mask_order: np.ndarray,
    out: np.ndarray,
) -> None:
    """out[i] ^= (a ^ b)[order[i]] ^ mask[mask_order[i]], rows of words; ``out`` comes filled with masks."""
    width = a.shape[1]
    for i in range(out.shape[0]):
        k, m = order[i], mask_order[i]
        for c in range(width):
            out[i, c] ^= a[k, c] ^ b[k, c] ^ mask[m, c]


@_compiled
def gather_pair(
    a: np.ndarray, order: np.ndarray, b: np.ndarray, b_order: np.ndarray, out: np.ndarray
) -> None:
    """out[i] ^= a[order[i]] ^ b[b_order[i]], rows of words."""
    for i in range(out.shape[0]):
        k, m = order[i], b_order[i]
        for c in range(a.shape[1]):
            out[i, c] ^= a[k, c] ^ b[m, c]


@_compiled
def gather_masked(a: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """out[i] ^= a[order[i]], rows of words."""
    for i in range(out.shape[0]):
        k = order[i]
        for c in range(a.shape[1]):
            out[i, c] ^= a[k, c]


@_compiled
def gather_both_sums(
    a: np.ndarray,
    b: np.ndarray,
    order: np.ndarray,
    mask: np.ndarray,
    mask_order: np.ndarray,
    out: np.ndarray,
) -> None:
    """out[i] = (a + b)[order[i]] - mask[mask_order[i]] - out[i]: `gather_both` for ring elements."""
    width = a.shape[1]
    for i in range(out.shape[0]):
        k, m = order[i], mask_order[i]
        for c in range(width):
            out[i, c] = a[k, c] + b[k, c] - mask[m, c] - out[i, c]


@_compiled
def gather_pair_sums(
    a: np.ndarray, order: np.ndarray, b: np.ndarray, b_order: np.ndarray, out: np.ndarray
) -> None:
    """out[i] += a[order[i]] + b[b_order[i]], rows of ring elements."""
    for i in range(out.shape[0]):
        k, m = order[i], b_order[i]
        for c in range(a.shape[1]):
            out[i, c] += a[k, c] + b[m, c]


@_compiled
def gather_plus(a: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """out[i] += a[order[i]], rows of ring elements."""
    for i in range(out.shape[0]):
        k = order[i]
        for c in range(a.shape[1]):
            out[i, c] += a[k, c]


@_compiled
def gather_minus(a: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """out[i] = a[order[i]] - out[i], rows of ring elements."""
    for i in range(out.shape[0]):
        k = order[i]
        for c in range(a.shape[1]):
            out[i, c] = a[k, c] - out[i, c]


@_compiled
def add_into(target: np.ndarray, value: np.ndarray) -> None:
    """target += value, flat."""
    for i in range(target.size):
        target[i] += value[i]


@_compiled
def subtract_from(target: np.ndarray, value: np.ndarray) -> None:
    """target -= value, flat."""
    for i in range(target.size):
        target[i] -= value[i]


@_compiled
def is_permutation(order: np.ndarray, seen: np.ndarray) -> bool:
    """Whether ``order`` holds each of 0 .. size - 1 once; ``seen`` comes all False."""
    for i in range(order.size):
        k = order[i]
        if k >= order.size or seen[k]:
            return False
        seen[k] = True
    return True


@_compiled
def order_by_block(
    blocks: np.ndarray, ends: np.ndarray, out: np.ndarray, sentinels: np.ndarray
) -> None:
    """Entries sorted by block, each block followed by its sentinel; what has no block comes last.

    ``blocks`` holds each entry's block, or ``ends.size``; ``ends`` how many entries each block has, and
    comes back as where its sentinel is; ``out`` is the order to gather by, where sentinel b is entry
    ``blocks.size + b``; ``sentinels`` the order that then brings the sentinels to the front.
    """
    count = ends.size
    starts = np.empty(count + 1, np.int64)
    place = 0
    for b in range(count):
        starts[b] = place
        place += ends[b]
        ends[b] = place
        out[place] = blocks.size + b
        sentinels[b] = place
        place += 1
    starts[count] = place
    for i in range(blocks.size):
        b = blocks[i]
        out[starts[b]] = i
        starts[b] += 1
    behind = count
    before = 0
    for b in range(count):
        for i in range(before, ends[b]):
            sentinels[behind] = i
            behind += 1
        before = ends[b] + 1
    for i in range(before, out.size):
        sentinels[behind] = i
        behind += 1


@_compiled
def scatter(values: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """out[rows[i]] = values[i] where there is a row (not negative)."""
    for i in range(rows.size):
        if rows[i] >= 0:
            out[rows[i]] = values[i]


@_compiled
def multiply_local(
    xl: np.ndarray,
    xr: np.ndarray,
    yl: np.ndarray,
    yr: np.ndarray,
    ml: np.ndarray,
    mr: np.ndarray,
    out: np.ndarray,
) -> None:
    """out = this seat's additive part of x * y, masked by ml - mr, all flat."""
    for i in range(out.size):
        out[i] = xl[i] * (yl[i] + yr[i]) + xr[i] * yl[i] + ml[i] - mr[i]


@_compiled
def matmul_local(
    xl: np.ndarray, xr: np.ndarray, yl: np.ndarray, yr: np.ndarray, out: np.ndarray
) -> None:
    """out = this seat's part of x @ y for x [n, m], y [m, p] given as its transpose [p, m].

    Columns of y are taken one at a time so that the inner loop runs along both rows in memory.
    """
    n, m = xl.shape
    for i in range(n):
        for j in range(yl.shape[0]):
            total = np.uint64(0)
            for k in range(m):
                total += xl[i, k] * (yl[j, k] + yr[j, k]) + xr[i, k] * yl[j, k]
            out[i, j] = total


@_compiled
def merge_tags(
    ordered: np.ndarray, orders: np.ndarray, ends: np.ndarray, index: np.ndarray, masks: np.ndarray
) -> int:
    """Walk N sorted lists of tags at once; one column of ``index`` [N, groups] per distinct tag.

    ``ordered`` holds the sorted tags of all tables one after another, ``orders`` the rows they came
    from, ``ends`` [N + 1] the borders. Returns the number of groups, or -1 if a tag repeats in a table.
    """
    tables = ends.size - 1
    heads = ends[:-1].copy()
    count = 0
    while True:
        least = np.uint64(0xFFFFFFFFFFFFFFFF)
        any_left = False
        for t in range(tables):
            if heads[t] < ends[t + 1]:
                any_left = True
                least = min(least, ordered[heads[t]])
        if not any_left:
            return count
        mask = 0
        for t in range(tables):
            head = heads[t]
            if head < ends[t + 1] and ordered[head] == least:
                mask |= 1 << t
                index[t, count] = orders[head]
                if head + 1 < ends[t + 1] and ordered[head + 1] == least:
                    return -1
                heads[t] = head + 1
            else:
                index[t, count] = -1
        masks[count] = mask
        count += 1


@_compiled
def sort_by_mask(index: np.ndarray, masks: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
    """Columns of ``index`` into ``out``, grouped by mask; ``starts[mask]`` is where a mask's begin, -1: dropped."""
    tables = index.shape[0]
    places = starts.copy()
    for g in range(masks.size):
        place = places[masks[g]]
        if place >= 0:
            for t in range(tables):
                out[t, place] = index[t, g]
            places[masks[g]] = place + 1


@_compiled
def unpack(planes: np.ndarray, rows: int, out: np.ndarray) -> None:
    """Planes [count, words] as 0/1 words out[count, rows]."""
    one = np.uint64(1)
    for p in range(planes.shape[0]):
        for i in range(rows):
            out[p, i] = (planes[p, i >> 6] >> np.uint64(i & 63)) & one


@_compiled
def flip(planes: np.ndarray, x: np.ndarray, whole: int) -> None:
    """x[p, i] becomes whole - x[p, i] where bit i of planes[p] is 1."""
    one, total = np.uint64(1), np.uint64(whole)
    for p in range(planes.shape[0]):
        for i in range(x.shape[1]):
            bit = (planes[p, i >> 6] >> np.uint64(i & 63)) & one
            mask = np.uint64(0) - bit  # a branch on random bits would cost more
            x[p, i] = (x[p, i] ^ mask) + bit + (mask & total)


@_compiled
def dot_local(
    xl: np.ndarray, xr: np.ndarray, yl: np.ndarray, yr: np.ndarray, out: np.ndarray
) -> None:
    """out[i] = this seat's part of the sum of x[i] * y[i] along the last axis, x and y [n, m]."""
    for i in range(xl.shape[0]):
        total = np.uint64(0)
        for k in range(xl.shape[1]):
            total += xl[i, k] * (yl[i, k] + yr[i, k]) + xr[i, k] * yl[i, k]
        out[i] = total
