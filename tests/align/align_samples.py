"""Small joins for tests: providers' tables dealt to the seats, what the seats saw, and who was found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hanse.align import JoinPolicy, Layout, Upload, align, padded
from hanse.engine.masks import Stream
from hanse.engine.noise import ShiftedLaplace
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.gate import Record
from hanse.gate.record import Opening
from hanse.wire import Tap
from secret_stage import Dealer, opened

LAYOUT = Layout.pack([("flag", 1), ("value", 20)])
QUICK = JoinPolicy(4.0, 0.1)  # little padding: for tests of the join, not of its privacy
NAMES = ["media", "coupon", "retail", "data", "mall", "phone"]
_GOLDEN = 0x9E3779B97F4A7C15  # spreads small numbers over 64 bits, one to one


def hashed(people: list[int] | range) -> np.ndarray:
    """Sorted 64-bit ids of numbered people."""
    return np.sort((np.array(people, np.uint64) * np.uint64(_GOLDEN)).astype(np.uint64))


def value_of(ids: np.ndarray, provider: int) -> np.ndarray:
    """What a provider's column says of a person: never the same at two providers."""
    return (ids ^ np.uint64(provider + 1)) % np.uint64(1 << 20)


def rows_of(ids: np.ndarray, provider: int, capacity: int, seed: str = "") -> np.ndarray:
    """A provider's padded rows."""
    columns = np.zeros((ids.size, LAYOUT.width), np.uint64)
    LAYOUT.fill(columns, "flag", np.ones(ids.size))
    LAYOUT.fill(columns, "value", value_of(ids, provider))
    return padded(ids, columns, capacity, LAYOUT, SeededEntropy(f"rows{provider}{seed}"))


def upload_of(provider: str, share: Words) -> Upload:
    """A provider whose rows the seat holds already."""
    return Upload(provider, LAYOUT, lambda: share)


@dataclass(frozen=True)
class Joined:
    """One seat's view of a join, with fields opened by the test: values [tables, people]."""

    sizes: dict[int, int]
    patterns: dict[int, tuple[int, int]]
    flags: np.ndarray
    values: np.ndarray
    record: tuple[Opening, ...]
    digest: str
    draws: tuple[int, ...]


_local = threading.local()


@contextmanager
def noted_draws() -> Iterator[None]:
    """Every draw of a number of dummies is noted for the seat (thread) that made it."""
    draw = ShiftedLaplace.draw

    def noting(self: ShiftedLaplace, stream: Stream, count: int) -> np.ndarray:
        drawn = draw(self, stream, count)
        _local.draws.extend(drawn.tolist())
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShiftedLaplace, "draw", noting)
        yield


def joined(
    tables: list[np.ndarray],
    policy: JoinPolicy = QUICK,
    keep: Callable[[int], bool] = lambda _mask: True,
    *,
    seed: str = "join",
    tap: Tap | None = None,
) -> list[Joined]:
    """Align rows (as `rows_of` makes them) and open every person's fields; per seat."""
    shares = [Dealer(number).words(rows) for number, rows in enumerate(tables)]
    names = NAMES[: len(tables)]

    def protocol(s: Session) -> Joined:
        _local.draws = []
        record = Record()
        parts = [
            Upload(n, LAYOUT, lambda share=share: share[s.seat])
            for n, share in zip(names, shares, strict=True)
        ]
        people = align(s, record, parts, policy, keep)
        flags, values = [], []
        for name in names:
            flags.append(opened(s, people.field(name, "flag"), f"{name}.flag")[0])
            bits = opened(s, people.field(name, "value"), f"{name}.value")
            values.append(
                (bits.astype(np.uint64) << np.arange(20, dtype=np.uint64)[:, None]).sum(axis=0)
            )
        assert people.people == people.groups.count == flags[0].size
        return Joined(
            people.groups.sizes, people.groups.patterns, np.array(flags), np.array(values),
            record.openings, record.digest(), tuple(_local.draws),
        )  # fmt: skip

    with noted_draws():
        return on_stage(protocol, seed=seed, tap=tap)


def pattern_counts(tables: list[Any], *, at_least: int = 1) -> dict[int, int]:
    """The plain twin: for each set of tables (bit mask), how many people are in exactly those."""
    masks: dict[int, int] = {}
    for number, ids in enumerate(tables):
        for person in np.asarray(ids).tolist():
            masks[person] = masks.get(person, 0) | 1 << number
    counts: dict[int, int] = {}
    for mask in masks.values():
        if mask.bit_count() >= at_least:
            counts[mask] = counts.get(mask, 0) + 1
    return counts
