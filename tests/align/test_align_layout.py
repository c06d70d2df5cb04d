"""Where private columns lie in a row: fields never overlap, and values never leave theirs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.align import Layout, Part, merged
from hanse.engine.slicing import slice_field
from hanse.errors import Fault
from secret_stage import Dealer, unpacked

sizes = st.lists(st.integers(1, 64), max_size=12).map(
    lambda bits: [(f"f{number}", width) for number, width in enumerate(bits)]
)


@settings(max_examples=100, deadline=None)
@given(sizes)
def test_fields_lie_within_a_word_and_do_not_overlap(wanted: list[tuple[str, int]]) -> None:
    layout = Layout.pack(wanted)
    taken = np.zeros((layout.width, 64), int)
    for name, bits in wanted:
        field = layout.field(name)
        assert field.bits == bits
        assert field.shift + bits <= 64
        taken[field.word, field.shift : field.shift + bits] += 1
    assert taken.max(initial=0) <= 1
    assert not taken[0].any(), "word 0 is the id"
    assert layout.width >= 1


@settings(max_examples=50, deadline=None)
@given(sizes, st.integers(1, 70), st.integers(0, 1 << 32))
def test_what_is_filled_in_is_read_on_shares(
    wanted: list[tuple[str, int]], rows: int, seed: int
) -> None:
    """Layout and `slice_field` agree, also for rows that are absent (negative numbers)."""
    layout = Layout.pack(wanted)
    random = np.random.default_rng(seed)
    table = np.zeros((rows, layout.width), np.uint64)
    values = {n: random.integers(0, 1 << bits, rows, np.uint64, endpoint=bits < 64) >> np.uint64(bits < 64)
              if bits < 64 else random.integers(0, (1 << 64) - 1, rows, np.uint64, endpoint=True)
              for n, bits in wanted}  # fmt: skip
    for name, column in values.items():
        layout.fill(table, name, column)
    order = random.integers(-1, rows, rows + 5)
    shares = Dealer(seed).words(table)
    for name, bits in wanted:
        field = layout.field(name)
        parts = [slice_field(share, field.word, field.shift, bits, order) for share in shares]
        planes = unpacked(parts[0].left ^ parts[1].left ^ parts[2].left, order.size)
        want = np.where(order >= 0, values[name][order], 0).astype(np.uint64)
        move = np.arange(bits, dtype=np.uint64)[:, None]
        assert (planes == (want >> move & np.uint64(1))).all()


@pytest.mark.parametrize("bits", [1, 5, 63])
def test_a_value_that_does_not_fit_is_refused_not_cut(bits: int) -> None:
    """Ranges by construction: a flag cannot be two, whatever a provider sends."""
    layout = Layout.pack([("a", bits), ("b", 1)])
    for value in (1 << bits, (1 << 64) - 1):
        rows = np.zeros((2, layout.width), np.uint64)
        with pytest.raises(Fault) as caught:
            layout.fill(rows, "a", np.array([0, value], np.uint64))
        assert caught.value.code == "align.value"
        assert not rows.any()
    layout.fill(rows, "a", np.array([0, (1 << bits) - 1], np.uint64))


@pytest.mark.parametrize("wanted", [[("a", 0)], [("a", 65)], [("a", -1)], [("a", 3), ("a", 4)]])
def test_layouts_that_cannot_be_are_refused(wanted: list[tuple[str, int]]) -> None:
    with pytest.raises(Fault) as caught:
        Layout.pack(wanted)
    assert caught.value.code == "align.layout"


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        Layout.pack([("a", 1)]).field("b")
    assert caught.value.code == "align.layout"


people = st.dictionaries(st.integers(0, 30), st.integers(0, 255), max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.lists(people, min_size=1, max_size=4))
def test_parts_of_several_datasets_become_one_row_a_person(parts: list[dict[int, int]]) -> None:
    layout = Layout.pack([(f"p{number}", 8) for number in range(len(parts))])
    ids, rows = merged(
        [
            Part(
                np.array(sorted(part), np.uint64),
                {f"p{number}": np.array([part[i] for i in sorted(part)], np.uint64)},
            )
            for number, part in enumerate(parts)
        ],
        layout,
    )
    assert ids.tolist() == sorted(set().union(*parts))
    for number, part in enumerate(parts):
        field = layout.field(f"p{number}")
        got = rows[:, field.word] >> np.uint64(field.shift) & np.uint64(255)
        assert got.tolist() == [part.get(person, 0) for person in ids.tolist()]
