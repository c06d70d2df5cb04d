"""Private rows of N providers, joined: the page that the federation stands on.

 1. check   every provider's ids rise strictly (one bit opened per provider): no duplicates, no crafted patterns
 2. pad     each pair of seats adds dummy groups to every pattern of providers, a noised number of them
 3. shuffle each table by itself, in an order no seat knows
 4. tag     the ids under a key no seat knows (SIMON-64/128 on shares)
 5. open    the tags, to the three seats
 6. group   rows with equal tags: one anonymous person each

Reveals: to the seats, for each set of two or more providers, a number of anonymous groups that is
(epsilon, delta)-private per person whatever any provider submitted (claims note: docs/claims/padding.md), the
declared capacities and widths. To nobody: who is in which table, which row came from where in a provider's order.
Assumes: semi-honest seats, honest majority; SIMON-64/128 as a pseudo-random permutation under a fresh key.
Source: in the manner of IPA (Case et al. 2023, "Interoperable Private Attribution") and Mohassel, Rindal, Rosulek
2020; padding after Case et al. 2023, with pairwise dummies at no cost on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.align.layout import Layout
from hanse.engine.group import Groups
from hanse.engine.noise import ShiftedLaplace
from hanse.engine.prf import secret_key, tags
from hanse.engine.programmed import Program
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Bits, Words
from hanse.engine.shuffle import Permutation, secret_permutation, shuffle
from hanse.engine.slicing import slice_field
from hanse.errors import Fault
from hanse.gate import opening
from hanse.gate.record import Record

MOST_PROVIDERS = 6


@dataclass(frozen=True)
class JoinPolicy:
    """Privacy of what the seats see, per alignment."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Table:
    """One provider's shared rows [capacity and dummies, width], their layout, and the order they are in.

    ``permutation`` brought them here from the provider's own order (dummies at its end).
    """

    provider: str
    rows: Words
    layout: Layout
    permutation: Permutation | None = None


@dataclass(frozen=True)
class Upload:
    """A provider whose rows are still to come: ``receive`` gets this seat's share of them."""

    provider: str
    layout: Layout
    receive: Callable[[], Words]


@dataclass(frozen=True)
class Aligned:
    """Anonymous people, one column of ``groups.index`` each; fields are read as bit planes."""

    groups: Groups
    tables: tuple[Table, ...]
    programs: Mapping[str, Program] = field(default_factory=dict)  # see `align.programs`
    words: dict[tuple[int, int], Bits] = field(default_factory=dict)

    @property
    def people(self) -> int:
        """Groups kept, dummies and empty rows included (they count as nobody: all fields zero)."""
        return self.groups.count

    def field(self, provider: str, name: str) -> Bits:
        """A field of every person as planes [bits, words]; zero where the provider lacks the person."""
        number = [t.provider for t in self.tables].index(provider)
        place = self.tables[number].layout.field(name)
        planes = self._word(number, place.word)
        return planes[place.shift : place.shift + place.bits]

    def _word(self, number: int, word: int) -> Bits:
        """All used bits of one word of a table, for every person: gathered once for all its fields."""
        found = self.words.get((number, word))
        if found is None:
            table = self.tables[number]
            used = max(f.shift + f.bits for f in table.layout.fields if f.word == word)
            found = slice_field(table.rows, word, 0, used, self.groups.index[number])
            self.words[number, word] = found
        return found


def align(
    s: Session,
    record: Record,
    uploads: list[Upload],
    policy: JoinPolicy,
    keep: Callable[[int], bool] = lambda _mask: True,
) -> Aligned:
    """Join the uploads; only patterns (bit masks of providers) for which ``keep`` holds are carried on.

    Steps 1 to 4 take one table after the other, so that the next provider may still be reading, and
    what a step has used up is freed before the next.
    """
    names = [u.provider for u in uploads]
    if not 1 <= len(uploads) <= MOST_PROVIDERS:
        raise Fault(
            "align.providers", f"a join takes 1 to {MOST_PROVIDERS} providers, not {len(uploads)}"
        )
    dummies: list[list[tuple[U64, U64]]] = [[]]
    if len(uploads) > 1:  # of one provider alone nobody is matched, so nothing is shown
        dummies = draw_dummies(s.fork("pad"), len(uploads), padding_law(len(uploads), policy))
    mixing, tagging = s.fork("shuffle"), s.fork("tag")
    key = secret_key(tagging)
    shuffled, secret_tags = [], []
    for number, upload in enumerate(uploads):
        name = upload.provider
        table = upload.receive()
        opening.require_sorted_unique(s, record, table, name, f"check.{name}")
        table = extended(table, dummies[number])
        order = secret_permutation(mixing, table.rows, turn=number)
        table = shuffle(mixing, table, order, name)
        shuffled.append(Table(name, table, upload.layout, order))
        secret_tags.append(tags(tagging, table, key, name))
    groups = opening.open_tags(s, record, secret_tags, names, policy.epsilon, policy.delta, keep)
    return Aligned(groups, tuple(shuffled))


def shared_patterns(providers: int) -> list[int]:
    """Bit masks of the sets of two or more providers; the others' counts follow from public totals."""
    return [m for m in range(1, 1 << providers) if m.bit_count() >= 2]


def padding_law(providers: int, policy: JoinPolicy) -> ShiftedLaplace:
    """The number of dummy groups each pair of seats adds to each pattern.

    One person moves one count by one if there are two providers (only one shared pattern), else two counts.
    """
    moved = 1 if providers <= 2 else 2
    return ShiftedLaplace.for_privacy(policy.epsilon / moved, policy.delta / moved)


def dummies_per_provider(providers: int, policy: JoinPolicy) -> int:
    """Dummy rows added to each table: a constant, whatever the draws are."""
    if providers < 2:
        return 0
    patterns = (1 << (providers - 1)) - 1
    return SEATS * 2 * padding_law(providers, policy).shift * patterns


def draw_dummies(s: Session, providers: int, law: ShiftedLaplace) -> list[list[tuple[U64, U64]]]:
    """Dummy ids as (left, right) shares, by table: for each pair of seats and pattern, 2*shift slots in
    every table of the pattern.

    A pair draws n of the slots to be groups (one id in all tables of the pattern), the others get ids of their
    own. The pair's dummies sit in the component that exactly it holds, so nothing is sent and the third
    seat, which knows neither n nor the ids, cannot tell a dummy after shuffle and PRF.
    """
    patterns = shared_patterns(providers)
    slots = 2 * law.shift
    drawn: list[list[tuple[U64, U64]]] = [[] for _ in range(providers)]
    for component in range(SEATS):
        for mask in patterns:
            members = [t for t in range(providers) if mask >> t & 1]
            ids = _dummy_ids(s, component, law, slots, len(members))
            for place, table in enumerate(members):
                value = None if ids is None else ids[place]
                drawn[table].append(s.component(component, value, (slots,)))
    return drawn


def _dummy_ids(
    s: Session, component: int, law: ShiftedLaplace, slots: int, tables: int
) -> NDArray[np.uint64] | None:
    """Ids [tables, slots] if this seat holds the component, else None."""
    if s.seat == component:
        stream = s.left
    elif s.right_seat == component:
        stream = s.right
    else:
        return None
    groups = int(law.draw(stream, 1)[0])
    common = stream.take(slots)
    own = stream.take(slots * tables).reshape(tables, slots)
    return np.where(np.arange(slots) < groups, common, own)


def extended(table: Words, extra: list[tuple[U64, U64]]) -> Words:
    """The table with dummy rows at its end: the drawn ids, all columns zero."""
    if not extra:
        return table
    sides = []
    for side, rows in enumerate((table.left, table.right)):
        ids = np.concatenate([pair[side] for pair in extra])
        longer = np.zeros((rows.shape[0] + ids.size, rows.shape[1]), np.uint64)
        longer[: rows.shape[0]] = rows
        longer[rows.shape[0] :, 0] = ids
        sides.append(longer)
    return Words(sides[0], sides[1])
