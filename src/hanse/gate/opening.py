"""What the seats may see on the way: that ids are in order, and tags whose patterns were padded.

With `release`, the only importer of ``engine.reveal``.
"""

from __future__ import annotations

from collections.abc import Callable

from hanse.engine.boolean import all_rows
from hanse.engine.compare import less_than, ripple_less_than
from hanse.engine.group import Groups, group
from hanse.engine.reveal import open_bits
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, Words, trimmed
from hanse.engine.slicing import slice_range, values_of
from hanse.errors import Foul
from hanse.gate.record import Opening, Record

SEATS_SEE = ("seats",)


def require_sorted_unique(
    s: Session, record: Record, table: Words, provider: str, step: str = "order"
) -> None:
    """`Foul` naming the provider unless its ids rise strictly.

    Duplicates would let a provider give chosen people patterns of their own, which no padding hides.
    Reveals: one bit per provider, true for every honest one. Cost: 65 ANDs a row, 64 + log2 rounds.
    """
    rows = table.rows
    if rows < 2:
        return
    s = s.fork(step)
    rising = ripple_less_than(
        s, slice_range(table, 0, 0, rows - 1), slice_range(table, 0, 1, rows - 1)
    )
    verdict = all_rows(s, rising)
    record.write(
        Opening(step, f"whether the ids of {provider} are sorted and unique", SEATS_SEE, 1)
    )
    opened = open_bits(s, verdict, "open")
    if not int(opened[0]) & 1:
        raise Foul(
            "align.order",
            f"the rows of {provider} are not sorted by id, or an id occurs twice",
            where=f"provider {provider}",
            remedy=f"{provider} must check its node; an unmodified node removes duplicates before sharing",
        )


def require_rising(
    s: Session, record: Record, positions: Ring, provider: str, step: str = "rising"
) -> None:
    """`Foul` naming the provider unless the positions [places] rise strictly.

    They are where a provider's programmed order puts the end of each place; if they rose not, a row could count
    at two places. Reveals: one bit per program, true for every honest provider. Cost: one comparison a place.
    """
    if positions.size < 2:
        return
    s = s.fork(step)
    record.write(Opening(step, f"whether the places of {provider} are kept apart", SEATS_SEE, 1))
    rising = less_than(s, positions[:-1], positions[1:])
    verdict = all_rows(s, Bits(rising.left, rising.right, positions.size - 1))
    opened = open_bits(s, verdict, "open")
    if not int(opened[0]) & 1:
        raise Foul(
            "align.places",
            f"{provider} programmed places that overlap",
            where=f"provider {provider}",
            remedy=f"{provider} must check its node; an unmodified node keeps places apart",
        )


def open_tags(
    s: Session,
    record: Record,
    tags: list[Bits],
    providers: list[str],
    epsilon: float,
    delta: float,
    keep: Callable[[int], bool],
    step: str = "tags",
) -> Groups:
    """Opens the tags of each provider's rows to the three seats, and groups rows by them.

    Tags are 64-bit values under a key nobody knows; patterns for which ``keep`` is false are dropped.

    Reveals: for each set of providers, how many (anonymous) groups it has, dummies included, which is
    (epsilon, delta)-private per person; nothing else, since the order was shuffled and the key is fresh.
    """
    s = s.fork(step)
    record.write(
        Opening(
            step,
            "anonymous tags; they show how many people each set of providers shares, noise included",
            SEATS_SEE,
            sum(t.rows for t in tags),
            epsilon,
            delta,
        )
    )
    opened = [
        values_of(open_bits(s, trimmed(t), f"open.{name}"), t.rows)
        for t, name in zip(tags, providers, strict=True)
    ]
    groups = group(opened, keep)
    seen = {
        " + ".join(n for i, n in enumerate(providers) if mask >> i & 1): count
        for mask, count in sorted(groups.sizes.items())
    }
    record.complete(step, seen)
    return groups
