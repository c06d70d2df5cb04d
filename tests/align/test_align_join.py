"""The join equals its plain twin, person by person; what the seats see is that plus the padding, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from align_samples import (
    NAMES,
    QUICK,
    Joined,
    hashed,
    joined,
    pattern_counts,
    rows_of,
    upload_of,
    value_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.align import align, dummies_per_provider
from hanse.align.join import shared_patterns
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.stage import on_stage
from hanse.errors import Fault, Foul, HanseError
from hanse.gate import Record
from secret_stage import Dealer

CAPACITY = 70


def dummies_by_pattern(seats: list[Joined], providers: int) -> dict[int, int]:
    """Numbers of dummy groups from what each seat drew: seat 0 holds components 0 and 1, seat 1 holds 1 and 2."""
    patterns = shared_patterns(providers)
    size = len(patterns)
    by_component = [seats[0].draws[:size], seats[0].draws[size:], seats[1].draws[size:]]
    assert all(len(draws) == size for draws in by_component)
    assert seats[1].draws[:size] == seats[0].draws[size:], "both of a pair draw the same"
    assert seats[2].draws == (*by_component[0], *by_component[2]), "and each seat misses one pair's"
    return {m: sum(draws[i] for draws in by_component) for i, m in enumerate(patterns)}


def require_twin(tables: list[np.ndarray], seats: list[Joined]) -> None:
    """Everything a join says, against numpy."""
    providers = len(tables)
    true, dummies = pattern_counts(tables), dummies_by_pattern(seats, providers)
    rows = CAPACITY + dummies_per_provider(providers, QUICK)
    for seat in seats:
        for mask in shared_patterns(providers):
            assert seat.sizes.get(mask, 0) - dummies[mask] == true.get(mask, 0)
        for table in range(providers):
            assert sum(n for mask, n in seat.sizes.items() if mask >> table & 1) == rows
        found = set()
        for mask, (first, last) in seat.patterns.items():
            flags, values = seat.flags[:, first:last], seat.values[:, first:last]
            outside = [t for t in range(providers) if not mask >> t & 1]
            assert not flags[outside].any()
            assert not values[outside].any()
            real = flags.sum(axis=0) == mask.bit_count()
            assert not flags[:, ~real].any(), "a dummy is a dummy everywhere"
            assert not values[:, ~real].any()
            found |= {(mask, *column) for column in values[:, real].T.tolist()}
        assert found == expected_people(tables)


def expected_people(tables: list[np.ndarray]) -> set[tuple[int, ...]]:
    masks: dict[int, int] = {}
    for number, ids in enumerate(tables):
        for person in ids.tolist():
            masks[person] = masks.get(person, 0) | 1 << number
    return {
        (
            mask,
            *(
                int(value_of(np.uint64(person), t)) if mask >> t & 1 else 0
                for t in range(len(tables))
            ),
        )
        for person, mask in masks.items()
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.lists(st.integers(0, 63), max_size=CAPACITY), st.integers(0, 1 << 32))
def test_the_join_is_the_twins(providers: int, memberships: list[int], seed: int) -> None:
    tables = [
        hashed([person for person, mask in enumerate(memberships) if mask >> t & 1])
        for t in range(providers)
    ]
    rows = [rows_of(ids, t, CAPACITY, f"{seed}") for t, ids in enumerate(tables)]
    require_twin(tables, joined(rows, seed=f"{seed}"))


@pytest.mark.parametrize("providers", range(1, 7))
def test_one_to_six_providers(providers: int) -> None:
    random = np.random.default_rng(providers)
    tables = [hashed(np.flatnonzero(random.random(60) < 0.6).tolist()) for _ in range(providers)]
    rows = [rows_of(ids, t, CAPACITY) for t, ids in enumerate(tables)]
    require_twin(tables, joined(rows))


@pytest.mark.parametrize("providers", [0, 7])
def test_no_or_seven_providers_are_refused(providers: int) -> None:
    nothing = Words(np.zeros((1, 2), np.uint64), np.zeros((1, 2), np.uint64))
    with pytest.raises(Fault) as caught:
        on_stage(lambda s: align(s, Record(), [upload_of("media", nothing)] * providers, QUICK))
    assert caught.value.code == "align.providers"


EMPTY = hashed([])


@pytest.mark.parametrize(
    ("tables", "common"),
    [
        ([EMPTY, EMPTY], 0),
        ([EMPTY, hashed(range(50))], 0),
        ([hashed(range(30)), hashed(range(30, 60))], 0),
        ([hashed(range(CAPACITY)), hashed(range(CAPACITY))], CAPACITY),
        ([hashed([5]), hashed([5])], 1),
    ],
    ids=["two empty", "one empty", "nobody in common", "all in common and full", "one person"],
)
def test_edges(tables: list[np.ndarray], common: int) -> None:
    seats = joined([rows_of(ids, t, CAPACITY) for t, ids in enumerate(tables)])
    require_twin(tables, seats)
    first, last = seats[0].patterns.get(3, (0, 0))
    assert int(seats[0].flags[:, first:last].all(axis=0).sum()) == common


def test_a_table_of_one_row() -> None:
    tables = [hashed([4]), hashed([4])]
    seats = joined([rows_of(ids, t, 1) for t, ids in enumerate(tables)])
    first, last = seats[0].patterns[3]
    assert int(seats[0].flags[:, first:last].all(axis=0).sum()) == 1


def test_only_kept_patterns_are_carried_on() -> None:
    tables = [hashed(range(40)), hashed(range(20, 60)), hashed(range(10, 30))]
    rows = [rows_of(ids, t, CAPACITY) for t, ids in enumerate(tables)]
    everything, some = joined(rows), joined(rows, keep=lambda mask: mask & 1 == 1)
    assert some[0].sizes == everything[0].sizes
    assert set(some[0].patterns) == {m for m in everything[0].patterns if m & 1}
    real = some[0].flags.sum(axis=0) > 0
    assert int(real.sum()) == 40, "everybody of the first table, nobody else"


def test_two_joins_of_the_same_people_show_other_tags_and_orders() -> None:
    """Fresh key, fresh order, fresh padding per attempt: rerunning links nothing."""
    rows = [rows_of(hashed(range(40)), t, CAPACITY) for t in range(2)]
    first, second = joined(rows, seed="one"), joined(rows, seed="two")
    assert first[0].values.tolist() != second[0].values.tolist()


# --- what the record says -----------------------------------------------------------------------


def test_the_record_is_the_same_at_all_seats_and_says_all_that_was_seen() -> None:
    tables = [hashed(range(40)), hashed(range(20, 60)), hashed(range(10, 30))]
    seats = joined([rows_of(ids, t, CAPACITY) for t, ids in enumerate(tables)])
    assert len({seat.digest for seat in seats}) == 1
    record = seats[0].record
    assert [o.step for o in record] == ["check.media", "check.coupon", "check.retail", "tags"]
    assert all(o.to == ("seats",) for o in record)
    assert [o.values for o in record[:3]] == [1, 1, 1]
    assert all(name in o.what for name, o in zip(NAMES, record[:3], strict=False))
    tags = record[3]
    assert tags.values == 3 * (CAPACITY + dummies_per_provider(3, QUICK))
    assert (tags.epsilon, tags.delta) == (QUICK.epsilon, QUICK.delta)
    assert tags.seen["media + retail"] == seats[0].sizes[0b101]
    assert set(tags.seen.values()) == set(seats[0].sizes.values())


def test_records_of_different_joins_differ() -> None:
    rows = [rows_of(hashed(range(40)), t, CAPACITY) for t in range(2)]
    other = [rows[0], rows_of(hashed(range(30, 70)), 1, CAPACITY)]
    assert joined(rows)[0].digest != joined(other)[0].digest


# --- what a provider may not do -----------------------------------------------------------------


def refused(rows: list[np.ndarray], seed: str = "refused") -> HanseError:
    with pytest.raises(Foul) as caught:
        joined(rows, seed=seed)
    return caught.value


@pytest.mark.parametrize("at", [0, 1, 34, CAPACITY - 2])
@pytest.mark.parametrize("guilty", [0, 1])
def test_a_duplicate_inside_a_provider_is_a_foul_that_names_it(at: int, guilty: int) -> None:
    rows = [rows_of(hashed(range(t, 40 + t)), t, CAPACITY) for t in range(2)]
    rows[guilty][at + 1, 0] = rows[guilty][at, 0]
    error = refused(rows)
    assert error.code == "align.order"
    assert NAMES[guilty] in error.message
    assert NAMES[1 - guilty] not in error.message + error.where + error.remedy
    assert error.where == f"provider {NAMES[guilty]}"
    assert error.remedy


@pytest.mark.parametrize("guilty", [0, 1])
def test_unsorted_rows_are_a_foul(guilty: int) -> None:
    rows = [rows_of(hashed(range(40)), t, CAPACITY) for t in range(2)]
    rows[guilty][[10, 11]] = rows[guilty][[11, 10]]
    assert refused(rows).code == "align.order"
    rows[guilty] = rows[guilty][::-1].copy()
    assert refused(rows).code == "align.order"


def test_ids_are_compared_as_unsigned_and_to_the_last_bit() -> None:
    ids = np.array([0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1], np.uint64)
    tables = [ids, ids]
    seats = joined([rows_of(t, n, CAPACITY) for n, t in enumerate(tables)])
    require_twin(tables, seats)


def test_a_refused_join_opens_one_bit_and_no_tag() -> None:
    """And the seats that learn of it hold a record that says so."""
    rows = rows_of(hashed(range(40)), 0, CAPACITY)
    rows[5, 0] = rows[4, 0]
    share = Dealer(1).words(rows)
    records = [Record() for _ in range(3)]

    def protocol(s: Session) -> Any:
        return align(s, records[s.seat], [upload_of("media", share[s.seat])], QUICK)

    with pytest.raises(Foul):
        on_stage(protocol)
    assert max(len(r.openings) for r in records) == 1
    assert records[0].openings[0].step == "check.media"
