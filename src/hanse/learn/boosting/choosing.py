"""The seats' part of boosting with masks: the best split of each node, found on shares.

    1. A sum that the label holder decrypted (under the feature holder's mask) and that mask become one element.
    2. The larger sibling's sums are the parent's less the smaller's.
    3. Per candidate, with sums (x, h) on its left and (G, H) of the node: p = (h + l2) / (H + 2 l2), z = x - G p.
       The loss it saves is z**2 / (p (1 - p)) / (H + 2 l2), plus what is the node's alone: nothing is divided.
    4. A tournament by cross products; who wins is told, and which of its candidates to the owner alone.

Since x**2/A + y**2/B - (x + y)**2/(A + B) = (x B - y A)**2 / (A B (A + B)). The label holder knows G and H of every
node (it knows its rows), and gives what scales z to `PLACES` bits and p to as many.

Reveals: to the seats, the shape of each tree and whose splits it has; see docs/claims/lattice.md. Assumes:
semi-honest seats, honest majority.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.functions import product
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.gate.histograms import tell_splits
from hanse.gate.record import Record
from hanse.learn.boosting.elements import receive_elements
from hanse.learn.boosting.settings import Settings

PLACES = 20  # bits of p, and of z in units of the node's sum of |gradients|
FACTOR = 30  # fraction bits of the factors that scale
LOW, WIDEST = 42, 2 * PLACES - 2 - PLACES  # a candidate that may not win: -2**LOW over 2**WIDEST
CONSTANTS = 7  # of a node: factor of x, factor of h, G, l2, noise of z squared, least p, threshold
WAYS = 2  # missing values left, or right
LABEL = 3  # the label holder's role at a seat; feature holders follow
_I8 = np.dtype("<i8")


@dataclass
class _Held:
    """A feature holder's sums at the nodes that may have children: [columns, positions, 2] by node."""

    sums: dict[int, Ring] = field(default_factory=dict)


def run_seat(s: Session, record: Record, parties: list[str], settings: Settings) -> None:
    """One seat, until the label holder ends the training. ``parties``: the label holder, then feature holders."""
    columns = s.channel.receive(LABEL, "columns", _I8, (len(parties) - 1,)).tolist()
    tree = settings.own_trees
    while s.channel.receive(LABEL, f"t{tree}.go", _I8, (1,))[0] < 0:
        held = [_Held() for _ in columns]
        step = 0
        while size := int(s.channel.receive(LABEL, f"t{tree}.s{step}.size", _I8, (1,))[0]):
            name = f"t{tree}.s{step}"
            pairs = s.channel.receive(LABEL, f"{name}.pairs", _I8, (size, 3)).tolist()
            _level(s, record, parties, columns, held, pairs, settings, name)
            step += 1
        tree += 1


def _level(
    s: Session, record: Record, parties: list[str], columns: list[int], held: list[_Held],
    pairs: list[list[int]], settings: Settings, name: str,
) -> None:  # fmt: skip
    """One level of a tree: (node, sibling or -1, parent or -1) of each pair."""
    members = [node for pair in pairs for node in pair[:2] if node >= 0]
    step = s.fork(name)
    sums, valid = [], []
    for number, width in enumerate(columns):
        shape = (len(pairs), width, settings.bins, 2)
        party, role = parties[number + 1], LABEL + 1 + number
        seen = receive_elements(s, LABEL, parties[0], f"{name}.{number}.seen", shape)
        masks = receive_elements(s, role, party, f"{name}.{number}.masks", shape)
        valid.append(receive_elements(s, role, party, f"{name}.{number}.valid",
                                      (len(members), width, settings.bins, WAYS)))  # fmt: skip
        summed = unmasked(step, seen - masks, f"unmask{number}")
        sums.append(_of_members(held[number], summed, pairs))
    constants = receive_elements(s, LABEL, parties[0], f"{name}.nodes", (len(members), CONSTANTS))
    own = receive_elements(s, LABEL, parties[0], f"{name}.own", (len(members), 2))
    owner, places = choose(step, sums, valid, constants, own)
    roles = list(range(LABEL, LABEL + len(parties)))
    tell_splits(s, record, owner, places, roles, parties, name)


def unmasked(s: Session, x: Ring, step: str) -> Ring:
    """Signed sums from (decrypted + 2**31 modulo 2**32) - mask: 2**32 comes back where that is below 0."""
    flat = x.reshape(x.size)
    below = ring_bits(s, sign_bit(s, flat, f"{step}.sign").reshape(1, -1), f"{step}.flag")[0]
    middle = s.public_ring(1 << 31)
    found = flat + below.times(1 << 32)
    return Ring(found.left - middle.left, found.right - middle.right).reshape(*x.shape)


def _of_members(held: _Held, summed: Ring, pairs: list[list[int]]) -> Ring:
    """[members, columns, positions, 2]; remembers them for the children."""
    parts = []
    for number, (node, sibling, parent) in enumerate(pairs):
        held.sums[node] = summed[number]
        parts.append(held.sums[node])
        if sibling >= 0:
            held.sums[sibling] = held.sums[parent] - summed[number]
            parts.append(held.sums[sibling])
    return Ring(np.stack([p.left for p in parts]), np.stack([p.right for p in parts]))


def choose(
    s: Session, sums: list[Ring], valid: list[Ring], constants: Ring, own: Ring
) -> tuple[Ring, list[Ring]]:
    """(owner [members]: 0 for none, 1 the label holder, 2, ... feature holders; each feature holder's best place
    in its list [members]).

    sums [members, columns, positions, 2] and valid [members, columns, positions, ways] of each feature holder,
    constants [members, `CONSTANTS`], own [members, 2] the label holder's best (z**2, p (1 - p)).
    """
    members = constants.shape[0]
    numerators, widths, places = [own[:, :1]], [own[:, 1:]], []
    for number, (each, allowed) in enumerate(zip(sums, valid, strict=True)):
        numerator, width = _candidates(s, each, allowed, constants, f"c{number}")
        order = np.broadcast_to(np.arange(numerator.shape[1], dtype=np.uint64), numerator.shape)
        best = _tournament(s, [numerator, width, _public(s, order)], f"best{number}")
        numerators.append(best[0])
        widths.append(best[1])
        places.append(best[2].reshape(members))
    owners = np.broadcast_to(np.arange(1, len(sums) + 2, dtype=np.uint64), (members, len(sums) + 1))
    top = _tournament(s, [_beside(numerators), _beside(widths), _public(s, owners)], "owner")
    threshold = multiply(s, constants[:, 6].reshape(members, 1), top[1], "threshold")
    enough = sign_bit(s, (threshold - top[0]).reshape(members), "enough")
    flag = ring_bits(s, enough.reshape(1, -1), "enough.flag")[0]
    return multiply(s, flag, top[2].reshape(members), "told"), places


def _candidates(
    s: Session, sums: Ring, valid: Ring, constants: Ring, step: str
) -> tuple[Ring, Ring]:
    """(z**2 less its noise, p (1 - p)) [members, candidates]; what may not win has a numerator below all others."""
    members = sums.shape[0]
    both = _ways(sums)  # [members, columns, positions, ways, 2]
    count = both.size // (2 * members)
    x = both[..., 0].reshape(members, count)
    h = both[..., 1].reshape(members, count)
    factor_x, factor_h, total, l2, noise, least, _ = (
        constants[:, k].reshape(members, 1) for k in range(CONSTANTS)
    )
    scaled = product(
        s, _beside([x, h + _wide(l2, count)]),
        _beside([_wide(factor_x, count), _wide(factor_h, count)]), FACTOR, f"{step}.scale",
    )  # fmt: skip
    x, p = scaled[:, :count], scaled[:, count:]
    one = _public(s, np.full(p.shape, 1 << PLACES, np.uint64))
    parts = product(
        s, _beside([p, p]), _beside([_wide(total, count), one - p]), PLACES, f"{step}.p"
    )
    z, width = x - parts[:, :count], parts[:, count:]
    numerator = multiply(s, z, z, f"{step}.square") - _wide(noise, count)
    low = _beside([p - _wide(least, count), one - p - _wide(least, count)])
    signs = sign_bit(s, low.reshape(low.size), f"{step}.sign")
    flags = ring_bits(s, signs.reshape(1, -1), f"{step}.flags")[0].reshape(members, 2 * count)
    certain = _public(s, np.ones((members, count), np.uint64))
    fine = multiply(s, certain - flags[:, :count], certain - flags[:, count:], f"{step}.sides")
    fine = multiply(s, fine, valid.reshape(members, count), f"{step}.fine")
    base = _public(s, np.concatenate([np.full((members, count), -(1 << LOW), np.int64),
                                      np.full((members, count), 1 << WIDEST, np.int64)], 1))  # fmt: skip
    kept = (
        multiply(s, _beside([fine, fine]), _beside([numerator, width]) - base, f"{step}.kept")
        + base
    )
    return kept[:, :count], kept[:, count:]


def _ways(sums: Ring) -> Ring:
    """[members, columns, positions, ways, 2]: as they are, and less what position 0 has (missing values right)."""

    def both(part: np.ndarray) -> np.ndarray:
        return np.stack([part, part - part[:, :, :1]], axis=3)

    return Ring(both(sums.left), both(sums.right))


def _tournament(s: Session, parts: list[Ring], step: str) -> list[Ring]:
    """(numerator, width, place), each [members, n], of the largest numerator / width: each [members, 1]."""
    level = 0
    while (count := parts[0].shape[1]) > 1:
        half = count // 2
        a = [p[:, :half] for p in parts]
        b = [p[:, half : 2 * half] for p in parts]
        crossed = multiply(s, _beside([a[0], b[0]]), _beside([b[1], a[1]]), f"{step}.{level}.cross")
        gap = crossed[:, :half] - crossed[:, half:]  # below 0 where b is larger
        less = sign_bit(s, gap.reshape(gap.size), f"{step}.{level}.sign")
        flag = ring_bits(s, less.reshape(1, -1), f"{step}.{level}.flag")[0].reshape(*gap.shape)
        moved = multiply(s, _beside([flag] * 3), _beside([q - p for p, q in zip(a, b, strict=True)]),
                         f"{step}.{level}.pick")  # fmt: skip
        parts = [
            _beside([a[k] + moved[:, k * half : (k + 1) * half], parts[k][:, 2 * half :]])
            for k in range(3)
        ]
        level += 1
    return parts


def _public(s: Session, values: np.ndarray) -> Ring:
    return s.public_ring(np.ascontiguousarray(values).view(np.uint64))


def _wide(x: Ring, count: int) -> Ring:
    """[members, 1] as [members, count]."""
    shape = (x.shape[0], count)
    return Ring(np.broadcast_to(x.left, shape), np.broadcast_to(x.right, shape))


def _beside(parts: list[Ring]) -> Ring:
    return Ring(
        np.concatenate([p.left for p in parts], axis=1),
        np.concatenate([p.right for p in parts], axis=1),
    )
