"""Which events of a person are kept: first, last, spread over the period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.catalog.slots import Keep, _ranks


def kept(events: list[list[int]], slots: int, keep: Keep, span: int = 0) -> list[list[int]]:
    """The kept times of each person."""
    counts = np.array([len(e) for e in events], np.int64)
    ticks = np.array([t for e in events for t in sorted(e)], np.int64)
    rank = _ranks(counts, ticks, slots, keep, span)
    person = np.repeat(np.arange(len(events)), counts)
    found: list[list[int]] = [[] for _ in events]
    for who, tick, place in zip(person.tolist(), ticks.tolist(), rank.tolist(), strict=True):
        if 0 <= place < slots:
            assert place == len(found[who]), "slots must fill in order of time"
            found[who].append(tick)
    return found


def spread(events: list[int], slots: int, span: int) -> list[int]:
    """The rule, told once more in plain words."""
    events = sorted(events)
    if len(events) <= slots:
        return events
    firsts, others, seen = [], [], set()
    for tick in events:
        (others if tick * slots // span in seen else firsts).append(tick)
        seen.add(tick * slots // span)
    return sorted([*firsts, *others][:slots])


PEOPLE = st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=6)


@given(PEOPLE, st.integers(1, 6))
def test_spread_events_are_those_of_the_rule(events: list[list[int]], slots: int) -> None:
    assert kept(events, slots, "spread", 100) == [spread(e, slots, 100) for e in events]


@given(PEOPLE, st.integers(1, 6))
def test_first_and_last_are_what_they_say(events: list[list[int]], slots: int) -> None:
    assert kept(events, slots, "first") == [sorted(e)[:slots] for e in events]
    assert kept(events, slots, "last") == [sorted(e)[-slots:] for e in events]


@pytest.mark.parametrize("slots", [1, 4, 32])
def test_whoever_comes_daily_is_seen_in_every_stretch(slots: int) -> None:
    days = kept([list(range(96))], slots, "spread", 96)[0]
    assert days == [96 * k // slots for k in range(slots)]
