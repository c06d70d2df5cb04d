"""A kept alignment: it joins later columns like a fresh one, opens nothing, and shows the seats chance alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from align_samples import LAYOUT, NAMES, QUICK, hashed, rows_of, upload_of, value_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.align import Roster, Upload, align, realign
from hanse.align import roster as rosters
from hanse.align.layout import Part
from hanse.align.roster import chosen, columns_of, known, without_ids
from hanse.engine.masks import derive
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.errors import Fault, Foul
from hanse.gate import Record
from hanse.wire import Frame
from secret_stage import Dealer, Tape, ZeroStream, keyed, opened, payload, uniform_p_value

CAPACITY = 96
PLAIN = without_ids(LAYOUT)
Anything = Callable[[int], bool]


def everything(_mask: int) -> bool:
    return True


def made(
    people: list[Any], seed: str = "made", capacity: int = CAPACITY
) -> tuple[list[Roster], list[np.ndarray]]:
    """Every seat's roster of these people, and each provider's order of ids."""
    tables = [rows_of(hashed(p), n, capacity) for n, p in enumerate(people)]
    shares = [Dealer(n).words(t) for n, t in enumerate(tables)]

    def protocol(s: Session) -> Roster:
        names = NAMES[: len(tables)]
        uploads = [upload_of(n, share[s.seat]) for n, share in zip(names, shares, strict=True)]
        return Roster.of(align(s, Record(), uploads, QUICK))

    return on_stage(protocol, seed=seed), [t[:, 0].copy() for t in tables]


def columns(order: np.ndarray, active: Any, provider: int) -> np.ndarray:
    """What a provider sends on a day: columns of active people, in the roster's order."""
    ids = hashed(active)
    ids = ids[np.isin(ids, order)]
    fields = {"flag": np.ones(ids.size), "value": value_of(ids, provider)}
    return columns_of([Part(ids, fields)], order, PLAIN)


def day(
    kept: list[Roster], sent: list[np.ndarray], keep: Anything = everything, *, seed: str = "day",
    tap: Any = None,
) -> list[list[tuple[int, ...]]]:  # fmt: skip
    """Each seat's people of a day, opened by the test: (flag, value) by provider, of people who are somebody."""
    shares = [Dealer(10 + n).words(t) for n, t in enumerate(sent)]

    def protocol(s: Session) -> list[tuple[int, ...]]:
        uploads = [
            Upload(n, PLAIN, lambda share=share: share[s.seat])
            for n, share in zip(kept[0].providers, shares, strict=True)
        ]
        people = realign(s, kept[s.seat], uploads, keep)
        found = []
        for name in kept[0].providers:
            found.append(opened(s, people.field(name, "flag"), f"{name}.flag")[0])
            bits = opened(s, people.field(name, "value"), f"{name}.value").astype(np.uint64)
            found.append((bits << np.arange(20, dtype=np.uint64)[:, None]).sum(axis=0))
        rows = np.array(found).T
        return sorted(tuple(map(int, r)) for r in rows[rows.any(axis=1)])

    return on_stage(protocol, seed=seed, tap=tap)


def twin(roster: list[Any], active: list[Any]) -> list[tuple[int, ...]]:
    """The plain truth: who is in the roster and active somewhere, with what is said of each."""
    here = [set(map(int, a)) & set(map(int, r)) for r, a in zip(roster, active, strict=True)]
    found = []
    for person in sorted(set().union(*here)):
        row: list[int] = []
        for provider, people in enumerate(here):
            inside = person in people
            row += [int(inside), int(value_of(hashed([person]), provider)[0]) if inside else 0]
        found.append(tuple(row))
    return sorted(found)


# --- a later day ------------------------------------------------------------------------------------

PEOPLE = [list(range(60)), list(range(30, 90)), list(range(20, 50))]
KEPT, ORDERS = made(PEOPLE)


@settings(max_examples=8, deadline=None)
@given(
    active=st.tuples(*[st.sets(st.integers(0, 120), max_size=60) for _ in PEOPLE]), number=st.integers(0, 9)
)  # fmt: skip
def test_a_later_day_is_what_a_fresh_alignment_of_the_known_would_be(
    active: tuple[set[int], ...], number: int
) -> None:
    days = [sorted(a) for a in active]
    sent = [columns(o, a, n) for n, (o, a) in enumerate(zip(ORDERS, days, strict=True))]
    expected = twin(PEOPLE, days)
    assert day(KEPT, sent, seed=f"day {number}") == [expected] * 3


def test_only_patterns_that_the_question_wants_are_carried_on() -> None:
    sent = [columns(o, p, n) for n, (o, p) in enumerate(zip(ORDERS, PEOPLE, strict=True))]
    found = day(KEPT, sent, lambda mask: mask & 1 == 1)
    assert found[0] == [row for row in twin(PEOPLE, PEOPLE) if row[0]]
    groups = chosen(KEPT[0].groups, lambda mask: mask.bit_count() == 1)
    assert sorted(groups.patterns) == [1, 2, 4]
    assert groups.count == sum(groups.sizes[m] for m in (1, 2, 4))
    for number, (start, end) in enumerate(groups.patterns.values()):
        assert (groups.index[number, start:end] >= 0).all()
        assert (np.delete(groups.index, number, axis=0)[:, start:end] == -1).all()
    assert chosen(KEPT[0].groups, lambda _mask: False).count == 0


def test_a_roster_survives_the_disk() -> None:
    read = [Roster.from_arrays(k.providers, k.arrays()) for k in KEPT]
    sent = [columns(o, p, n) for n, (o, p) in enumerate(zip(ORDERS, PEOPLE, strict=True))]
    assert day(read, sent)[0] == twin(PEOPLE, PEOPLE)


def test_people_who_are_not_in_the_roster_are_left_out_and_counted() -> None:
    order = ORDERS[0]
    parts = [
        Part(hashed(range(50, 70)), {"flag": np.arange(20)}, {"at": np.arange(40).reshape(20, 2)}),
        Part(hashed(range(65, 75)), {"value": np.arange(10)}),
        Part(hashed(range(5)), {}),
    ]
    kept, waiting = known(parts, order)
    assert waiting == len(range(60, 75))
    assert [p.ids.size for p in kept] == [10, 0, 5]
    assert np.isin(kept[0].ids, order).all()
    original = dict(zip(parts[0].ids.tolist(), parts[0].home["at"].tolist(), strict=True))
    assert [original[i] for i in kept[0].ids.tolist()] == kept[0].home["at"].tolist()


# --- what moves -------------------------------------------------------------------------------------


def test_nothing_is_opened_and_shapes_do_not_depend_on_who_is_active() -> None:
    shapes = []
    for active in (PEOPLE, [[], [], []], [[1], range(200), []]):
        tape = Tape()
        sent = [columns(o, a, n) for n, (o, a) in enumerate(zip(ORDERS, active, strict=True))]
        day(KEPT, sent, tap=tape)
        seen = [
            f for f in tape.frames if f.step.startswith(("roster/", "shuffle/", "tag", "check"))
        ]
        assert {f.step.split("/")[0] for f in seen} == {"roster", "shuffle"}
        shapes.append(sorted((f.source, f.target, f.step, f.body.shape) for f in seen))  # type: ignore[union-attr]
    assert shapes[0] == shapes[1] == shapes[2]


def two_days(seat: int, *, same_masks: bool) -> tuple[list[Frame], list[Frame]]:
    """What ``seat`` receives of the shuffles of two days over one roster; the rows lie in the component it lacks.

    The seat's own keys stay the same in both; the key of the pair without it differs, unless ``same_masks``.
    """
    kept, orders = made([list(range(600)), list(range(300, 900))], capacity=640)
    days = []
    for number in range(2):
        keys = [derive(bytes(32), f"known {i}") for i in range(3)]
        keys[(seat + 2) % 3] = derive(bytes(32), f"unknown {0 if same_masks else number}")
        active = [range(number * 200, 600), range(300, 900 - number * 100)]
        sent = [columns(o, a, n) for n, (o, a) in enumerate(zip(orders, active, strict=True))]
        shares = [Dealer(n, blind=seat).words(t) for n, t in enumerate(sent)]

        def protocol(s: Session, shares: list[Any] = shares) -> None:
            uploads = [
                Upload(n, PLAIN, lambda share=share: share[s.seat])
                for n, share in zip(kept[0].providers, shares, strict=True)
            ]
            realign(s, kept[s.seat], uploads, everything)

        tape = Tape()
        keyed(protocol, keys, tap=tape)
        days.append([f for f in tape.received(seat) if f.step.startswith("shuffle/")])
    return days[0], days[1]


def is_chance(one: list[Frame], other: list[Frame]) -> bool:
    """Uniform, alone and between the days: no message, and no two of different days, tell anything."""
    first, second = (np.concatenate([payload(f) for f in frames]) for frames in (one, other))
    assert first.size == second.size > 5 * 256
    return all(uniform_p_value(o) > 1e-6 / 9 for o in (first, second, first ^ second))


@pytest.mark.parametrize("seat", range(3))
def test_the_same_order_under_new_masks_shows_chance_on_both_days(seat: int) -> None:
    assert is_chance(*two_days(seat, same_masks=False))


@pytest.mark.parametrize("seat", range(3))
def test_the_same_order_under_the_same_masks_would_show_the_difference_of_the_days(
    seat: int,
) -> None:
    assert not is_chance(*two_days(seat, same_masks=True))


def test_without_masks_the_first_day_shows_already(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffle = rosters.shuffle

    def bare(s: Session, table: Any, by: Any, step: str = "shuffle") -> Any:
        s.left, s.right = ZeroStream(), ZeroStream()
        return shuffle(s, table, by, step)

    monkeypatch.setattr(rosters, "shuffle", bare)
    assert not all(is_chance(*two_days(seat, same_masks=False)) for seat in range(3))


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("spoilt", ["left0", "right1", "index", "patterns", "turns"])
def test_seats_that_kept_different_things_find_out_before_rows_are_moved(spoilt: str) -> None:
    arrays = {name: array.copy() for name, array in KEPT[1].arrays().items()}
    arrays[spoilt] = arrays[spoilt][..., ::-1].copy() if spoilt != "turns" else arrays[spoilt] + 1
    if spoilt == "patterns":
        arrays[spoilt] = KEPT[1].arrays()["patterns"]
        arrays[spoilt][:, 0] = arrays[spoilt][::-1, 0].copy()
    kept = [KEPT[0], Roster.from_arrays(KEPT[1].providers, arrays), KEPT[2]]
    tape = Tape()
    sent = [columns(o, p, n) for n, (o, p) in enumerate(zip(ORDERS, PEOPLE, strict=True))]
    with pytest.raises(Foul) as found:
        day(kept, sent, tap=tape)
    assert found.value.code == "roster.disagree"
    assert "new roster name" in found.value.remedy


def shorter(name: str) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays.update({name: arrays[name][..., :-1]})


DAMAGES: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "a factor is missing": lambda a: a.pop("left1"),
    "a factor is short": shorter("left1"),
    "a group is missing": shorter("index"),
    "a factor points outside": lambda a: a.update(left0=a["left0"] + np.uint32(1)),
    "a group points outside": lambda a: a.update(index=a["index"] + np.int32(10_000)),
    "a factor of another type": lambda a: a.update(left0=a["left0"].astype(np.int64)),
    "a table is missing": lambda a: a.update(index=a["index"][:-1]),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_roster_is_none(how: str) -> None:
    arrays = {name: array.copy() for name, array in KEPT[0].arrays().items()}
    DAMAGES[how](arrays)
    with pytest.raises(Fault) as found:
        Roster.from_arrays(KEPT[0].providers, arrays)
    assert found.value.code == "roster.damaged"


def test_a_roster_does_not_print_compare_or_pickle() -> None:
    assert repr(KEPT[0]) == "<Roster, not shown>"
    with pytest.raises(TypeError):
        _ = KEPT[0] == KEPT[1]
