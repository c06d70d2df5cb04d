"""A whole join and count, seen from each seat: shapes follow from public numbers, contents from chance alone.

Contents: for each seat, the keys of its own two pairs are fixed, and its shares of the rows are zero (the rows
lie in the component it lacks). Between two runs only the third pair's key differs. Then every message the seat
receives must be uniform, and so must the XOR of the same message of two runs: what is masked by nothing,
or only by a stream the reader knows, shows there. Chi-square over byte values, alpha 1e-6 in all. Opened tags
and the order bit are included: what is sent of them is one masked component.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from align_samples import NAMES, QUICK, hashed, rows_of, upload_of

from hanse.align import align, join
from hanse.engine.boolean import and_
from hanse.engine.count import count_rows
from hanse.engine.masks import Stream, derive
from hanse.engine.session import Session
from hanse.engine.shares import Words, join_planes
from hanse.engine.shuffle import Permutation
from hanse.engine.stage import on_stage
from hanse.gate import Record
from hanse.wire import Frame
from secret_stage import Dealer, Tape, ZeroStream, keyed, payload, uniform_p_value

ALPHA = 1e-6
CAPACITY = 320
KNOWN = [derive(bytes(32), f"known {i}") for i in range(2)]


def tables(first: range, second: range) -> list[np.ndarray]:
    return [rows_of(hashed(ids), t, CAPACITY) for t, ids in enumerate((first, second))]


def measured(
    shares: list[list[Words]], sizes: dict[int, dict[int, int]]
) -> Callable[[Session], None]:
    """Join two tables and count: everybody of the first, and who is in both."""

    def protocol(s: Session) -> None:
        uploads = [upload_of(n, share[s.seat]) for n, share in zip(NAMES, shares, strict=False)]
        people = align(s, Record(), uploads, QUICK, lambda mask: mask & 1 == 1)
        first, second = (people.field(name, "flag") for name in NAMES[:2])
        count_rows(s, join_planes([first, and_(s, first, second, "both")]))
        sizes[s.seat] = people.groups.sizes

    return protocol


# --- shapes -------------------------------------------------------------------------------------


def shape_of(frame: Frame) -> tuple[Any, ...]:
    assert isinstance(frame.body, np.ndarray)
    return (
        frame.source,
        frame.target,
        frame.sequence,
        frame.step,
        frame.body.dtype,
        frame.body.shape,
    )


def shapes(rows: list[np.ndarray], seed: str = "shape") -> list[list[tuple[Any, ...]]]:
    """What each seat receives, by sender and in order: names, types and sizes."""
    tape, sizes = Tape(), {}
    shares = [Dealer(n).words(table) for n, table in enumerate(rows)]
    on_stage(measured(shares, sizes), seed=seed, tap=tape)
    return [[shape_of(f) for f in tape.received(seat)] for seat in range(3)]


def test_inputs_of_equal_shape_make_messages_of_equal_shape() -> None:
    """Other people, other columns, as many in common: step for step the same messages at each seat."""
    one = shapes(tables(range(200), range(100, 300)))
    other = shapes(tables(range(1000, 1300), range(1200, 1450)))
    assert one == other
    assert all(len(messages) > 200 for messages in one)


def test_how_many_people_there_are_changes_no_shape_before_the_tags_are_open() -> None:
    """Empty tables, full tables, nobody or everybody in common: the same until the noised counts are known."""

    def up_to_tags(rows: list[np.ndarray]) -> list[list[tuple[Any, ...]]]:
        return [
            [m for m in seat if m[3].startswith(("agree", "check.", "shuffle/", "tag/", "tags/"))]
            for seat in shapes(rows)
        ]

    worlds = [
        tables(range(0), range(0)),
        tables(range(CAPACITY), range(CAPACITY)),
        tables(range(50), range(50, 300)),
    ]
    first, *others = [up_to_tags(world) for world in worlds]
    assert all(other == first for other in others)


def test_after_the_tags_only_the_noised_count_of_people_shows() -> None:
    """Same true counts under other draws: sizes differ, names and order of messages up to the count do not."""
    rows = tables(range(200), range(100, 300))
    one, other = shapes(rows, "a"), shapes(rows, "b")
    for a, b in zip(one, other, strict=True):
        names = [[m[3] for m in seat if not m[3].startswith("count")] for seat in (a, b)]
        assert names[0] == names[1]


# --- contents -----------------------------------------------------------------------------------


def run(rows: list[np.ndarray], seat: int, unknown: int) -> tuple[list[Frame], dict[int, int]]:
    """What ``seat`` receives if the pair without it uses key number ``unknown``; and the pattern counts."""
    keys = [b""] * 3
    keys[seat], keys[(seat + 1) % 3] = KNOWN
    keys[(seat + 2) % 3] = derive(bytes(32), f"unknown {unknown}")
    shares = [Dealer(n, blind=seat).words(table) for n, table in enumerate(rows)]
    tape, sizes = Tape(), {}
    keyed(measured(shares, sizes), keys, tap=tape)
    return tape.received(seat), sizes[seat]


def two_runs(
    seat: int, one: list[np.ndarray], other: list[np.ndarray]
) -> tuple[list[Frame], list[Frame]]:
    """Two runs under different unknown keys whose (random) pattern counts happen to be equal."""
    seen: dict[tuple[tuple[int, int], ...], list[Frame]] = {}
    for number in range(20):
        frames, sizes = run(one, seat, number)
        seen[tuple(sorted(sizes.items()))] = frames
    for number in range(100, 140):
        frames, sizes = run(other, seat, number)
        match = seen.get(tuple(sorted(sizes.items())))
        if match is not None:
            return match, frames
    pytest.fail("no two runs with equal counts")


def by_kind(frames: list[Frame]) -> dict[str, np.ndarray]:
    """Bytes received, per kind of step (numbers of rounds and blocks dropped); small kinds together."""
    kinds: dict[str, list[np.ndarray]] = {}
    for frame in frames:
        octets = payload(frame)
        if re.fullmatch(r"tags/open\.[a-z]+", frame.step):
            # Lanes past the last row are zero, or they would show the tag of id 0: left out here.
            octets = np.ascontiguousarray(frame.body[:, :-1]).view(np.uint8).reshape(-1)
        kinds.setdefault(re.sub(r"\.?\d+", "", frame.step), []).append(octets)
    joined = {kind: np.concatenate(parts) for kind, parts in kinds.items()}
    large = {kind: octets for kind, octets in joined.items() if octets.size >= 5 * 256}
    small = [octets for octets in joined.values() if octets.size < 5 * 256]
    large["everything else"] = np.concatenate([*small, *large.values()])
    return large


def suspicious(first: list[Frame], second: list[Frame]) -> list[str]:
    """Kinds of messages that are not uniform, alone or between the two runs."""
    one, other = by_kind(first), by_kind(second)
    assert {k: v.size for k, v in one.items()} == {k: v.size for k, v in other.items()}
    level = ALPHA / (2 * len(one))
    return [
        f"{kind}{what}"
        for kind, octets in one.items()
        for what, tested in (("", octets), (" between runs", octets ^ other[kind]))
        if uniform_p_value(tested) < level
    ]


FIRST = tables(range(200), range(100, 300))
SECOND = tables(range(1000, 1300), range(1200, 1450))


@pytest.mark.parametrize("seat", range(3))
@pytest.mark.parametrize("other", [FIRST, SECOND], ids=["same input", "other input"])
def test_contents_are_chance_whatever_the_input(seat: int, other: list[np.ndarray]) -> None:
    """Uniform, and jointly so for two runs over the same input and over different ones."""
    assert suspicious(*two_runs(seat, FIRST, other)) == []


# --- the same test without masks ----------------------------------------------------------------


@pytest.mark.parametrize("seat", range(3))
def test_without_masks_on_products_it_fails(seat: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every AND of the order check and of the cipher would show."""
    monkeypatch.setattr(Stream, "onto", lambda self, target: None)
    found = suspicious(*two_runs(seat, FIRST, FIRST))
    assert any(kind.startswith("check.") for kind in found)
    assert any(kind.startswith("tag/") for kind in found)


def test_without_masks_on_the_shuffle_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permuted rows in the clear: ids are random, columns are not."""
    shuffle = join.shuffle

    def bare(s: Session, table: Words, by: Permutation, step: str = "shuffle") -> Words:
        masks = s.left, s.right
        s.left, s.right = ZeroStream(), ZeroStream()
        moved = shuffle(s, table, by, step)
        s.left, s.right = masks
        return moved

    monkeypatch.setattr(join, "shuffle", bare)
    found = [kind for seat in range(3) for kind in suspicious(*two_runs(seat, FIRST, FIRST))]
    assert any(kind.startswith("shuffle/") for kind in found)


def test_with_masks_that_the_reader_knows_it_fails() -> None:
    """If the third pair's key were no secret (the same in both runs), two runs would be equal."""
    for seat in range(3):
        frames, sizes = run(FIRST, seat, 0)
        again, same = run(FIRST, seat, 0)
        assert sizes == same
        assert any(kind.endswith("between runs") for kind in suspicious(frames, again))


# --- what the opening opens ---------------------------------------------------------------------


def test_no_tag_but_those_of_rows_is_opened() -> None:
    """Three opened components of the tags give the rows' tags and, in the spare lanes, nothing."""
    tape, sizes = Tape(), {}
    rows = [table[:300] for table in FIRST]  # no multiple of 64 with its padding
    shares = [Dealer(n).words(table) for n, table in enumerate(rows)]
    on_stage(measured(shares, sizes), tap=tape)
    parts = [f.body for f in tape.frames if f.step == f"tags/open.{NAMES[0]}"]
    planes = np.bitwise_xor.reduce(np.array(parts))
    total = sum(n for mask, n in sizes[0].items() if mask & 1)
    spare = -total % 64
    assert spare
    assert not (planes[:, -1] >> np.uint64(64 - spare)).any()
