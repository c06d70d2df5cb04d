"""A roster: one alignment, kept for a period, in which each day's columns take their places again.

 1. make     a full alignment (`join.align`) over all people that may be reported in the period, active or not;
             each seat keeps its factors of every table's secret order, and the groups
 2. compare  seats compare hashes of what they kept: each factor with its other holder, the groups with both
 3. replay   columns come in the providers' row order, without ids; they are shuffled as then, under new masks
 4. group    as kept

No order check, no PRF, no opening: **nothing is shown that the first job had not shown** (docs/claims/roster.md).
What is kept is linkable: order and groups are the same from day to day. Deleting it ends that.
Reveals: to seats, the roster's declared rows and the layout's width. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hanse.align.join import Aligned, Table, Upload
from hanse.align.layout import U64, Layout, Part
from hanse.engine.group import Groups
from hanse.engine.session import Session
from hanse.engine.shares import Silent, Words, octets
from hanse.engine.shuffle import Order, Permutation, shuffle
from hanse.errors import Fault, Foul

_U8 = np.dtype("u1")
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class Roster(Silent):
    """What one seat keeps: the tables' secret orders, of each its two factors, and who belongs together."""

    providers: tuple[str, ...]
    orders: tuple[Permutation, ...]
    groups: Groups  # of every pattern

    @classmethod
    def of(cls, people: Aligned) -> Roster:
        """The roster of a full alignment that kept all patterns."""
        orders = []
        for table in people.tables:
            if table.permutation is None:
                raise Fault(
                    "align.order", f"the order of the rows of {table.provider} was not kept"
                )
            orders.append(table.permutation)
        return cls(tuple(t.provider for t in people.tables), tuple(orders), people.groups)

    def arrays(self) -> dict[str, np.ndarray]:
        """As named arrays of plain numbers, for the disk."""
        groups = self.groups
        found: dict[str, np.ndarray] = {
            "index": groups.index.astype(np.int32),  # a table has fewer than 2**31 rows
            "patterns": np.array([(m, *r) for m, r in sorted(groups.patterns.items())], np.int64),
            "turns": np.array([o.turn for o in self.orders], np.int64),
        }
        for number, order in enumerate(self.orders):
            found[f"left{number}"], found[f"right{number}"] = order.left, order.right
        return found

    @classmethod
    def from_arrays(cls, providers: tuple[str, ...], arrays: Arrays) -> Roster:
        """Read `arrays`; `Fault` ``roster.damaged`` if they cannot be a roster of these providers."""
        try:
            orders = tuple(
                Permutation(int(arrays[f"left{n}"].size), int(arrays["turns"][n]),
                            _order(arrays[f"left{n}"]), _order(arrays[f"right{n}"]))
                for n in range(len(providers))
            )  # fmt: skip
            patterns = {int(m): (int(a), int(b)) for m, a, b in arrays["patterns"].tolist()}
            index = arrays["index"].astype(np.int64)
        except (KeyError, ValueError, IndexError) as error:
            raise damaged() from error
        whole = index.ndim == 2 and index.shape[0] == len(providers)
        if not whole or any(not _fits(index[n], o) for n, o in enumerate(orders)):
            raise damaged()
        sizes = {mask: end - start for mask, (start, end) in patterns.items()}
        if sum(sizes.values()) != index.shape[1]:
            raise damaged()
        return cls(providers, orders, Groups(index, patterns, sizes))


def _order(kept: np.ndarray) -> Order:
    if kept.dtype != np.uint32 or kept.ndim != 1:
        raise damaged()
    return kept


def _fits(rows: np.ndarray, order: Permutation) -> bool:
    longest = max(order.left.max(initial=0), order.right.max(initial=0), rows.max(initial=0))
    same = order.left.size == order.right.size == order.rows
    return bool(same and order.rows > longest and rows.min(initial=0) >= -1)


def damaged() -> Fault:
    """What was kept is no roster (any more)."""
    return Fault(
        "roster.damaged",
        "what was kept of a roster is damaged",
        remedy="ask with a new roster name, which makes a new roster",
    )


# --- at the seats -----------------------------------------------------------------------------------


def realign(
    s: Session, roster: Roster, uploads: list[Upload], keep: Callable[[int], bool]
) -> Aligned:
    """Put columns [rows, width] of the same providers where the roster has them; no opening.

    ``uploads`` bring layouts without ids. `Foul` ``roster.disagree`` if seats kept different rosters.
    """
    if tuple(u.provider for u in uploads) != roster.providers:
        raise Fault(
            "align.roster", "a roster serves the providers that it was made of, and no others"
        )
    _compare(s.fork("roster"), roster)
    mixing = s.fork("shuffle")
    tables = []
    for upload, order in zip(uploads, roster.orders, strict=True):
        rows = lengthened(upload.receive(), order.rows)
        tables.append(
            Table(
                upload.provider, shuffle(mixing, rows, order, upload.provider), upload.layout, order
            )
        )
    return Aligned(chosen(roster.groups, keep), tuple(tables))


def _compare(s: Session, roster: Roster) -> None:
    """Each factor's two holders, and all three for the groups, hold the same."""
    left, right, all_three = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for name, order in zip(roster.providers, roster.orders, strict=True):
        left.update(octets(order.left))
        right.update(octets(order.right))
        all_three.update(f"{name} {order.turn} {order.rows}|".encode())
    all_three.update(repr(sorted(roster.groups.patterns.items())).encode())
    all_three.update(octets(roster.groups.index))
    digests = {
        s.left_seat: np.frombuffer(left.digest() + all_three.digest(), _U8),
        s.right_seat: np.frombuffer(right.digest() + all_three.digest(), _U8),
    }
    for seat, mine in digests.items():
        s.send(seat, "kept", mine)
    for seat, mine in digests.items():
        if not np.array_equal(s.receive(seat, "kept", (64,), _U8), mine):
            raise Foul(
                "roster.disagree",
                f"seats {s.seat} and {seat} kept different rosters",
                remedy="ask with a new roster name, which makes a new roster",
            )


def lengthened(columns: Words, rows: int) -> Words:
    """The table with dummy rows at its end, all columns zero: nobody."""
    more = rows - columns.rows
    if more < 0:
        raise Fault("align.roster", "there are more rows than the roster has")
    sides = [
        np.concatenate([side, np.zeros((more, columns.width), np.uint64)])
        for side in (columns.left, columns.right)
    ]
    return Words(sides[0], sides[1])


def chosen(groups: Groups, keep: Callable[[int], bool]) -> Groups:
    """The groups of those patterns for which ``keep`` holds, in the same order."""
    ranges = {mask: ends for mask, ends in sorted(groups.patterns.items()) if keep(mask)}
    if len(ranges) == len(groups.patterns):
        return groups
    parts = [groups.index[:, start:end] for start, end in ranges.values()]
    tables = groups.index.shape[0]
    index = np.concatenate(parts, axis=1) if parts else np.empty((tables, 0), np.int64)
    patterns, place = {}, 0
    for mask, (start, end) in ranges.items():
        patterns[mask] = (place, place + end - start)
        place += end - start
    return Groups(np.ascontiguousarray(index), patterns, groups.sizes)


# --- at a provider, at home -------------------------------------------------------------------------


def without_ids(layout: Layout) -> Layout:
    """The same fields in rows whose first word is not an id; at least one word wide."""
    fields = tuple(replace(field, word=field.word - 1) for field in layout.fields)
    return Layout(fields, max(1, layout.width - 1))


def known(parts: list[Part], order: U64) -> tuple[list[Part], int]:
    """The parts without people who are not in the roster, whose ids are ``order`` [rows]; how many those are."""
    kept, waiting = [], []
    for part in parts:
        places = np.searchsorted(order, part.ids)
        inside = order[np.minimum(places, order.size - 1)] == part.ids
        if inside.all():
            kept.append(part)
            continue
        waiting.append(part.ids[~inside])
        fields = {name: values[inside] for name, values in part.fields.items()}
        home = {name: values[inside] for name, values in part.home.items()}
        kept.append(Part(part.ids[inside], fields, home))
    return kept, int(np.unique(np.concatenate(waiting)).size) if waiting else 0


def columns_of(parts: list[Part], order: U64, layout: Layout) -> U64:
    """Columns [rows, width] in the roster's order, zero for everybody in no part; ``layout`` is without ids."""
    rows = np.zeros((order.size, layout.width), np.uint64)
    for part in parts:
        own = np.zeros((part.ids.size, layout.width), np.uint64)
        for name, values in part.fields.items():
            layout.fill(own, name, values)
        rows[np.searchsorted(order, part.ids)] |= own
    return rows
