"""Attribution on shares against the twin's words, person by person; and its bounds, whatever providers send."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attributions import (
    MODELS,
    Slots,
    computed,
    plain_cells,
    plan_of,
    random_slots,
    secret_cells,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.measure.attribution import protocol as attribution
from hanse.measure.attribution.cost import most_bytes
from hanse.measure.attribution.plan import WHOLE, AttributionPlan
from hanse.measure.attribution.twin import shared

ADS = st.builds(
    lambda slots, merge: {"dataset": "ads", "credit": "kind", "slots": slots, "merge": merge},
    st.integers(1, 4),
    st.sampled_from(
        [None, {"moving": ["video"], "still": ["banner", "mail"]}, {"search": ["mail"]}]
    ),
)
SEARCHES = st.integers(1, 3).map(lambda n: {"dataset": "searches", "name": "search", "slots": n})
PURCHASES = st.just({"dataset": "purchases", "credit": "kind", "slots": 2})


@st.composite
def questions(draw: st.DrawFn, model: str) -> dict[str, Any]:
    conversions: dict[str, Any] = {"dataset": "purchases", "slots": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        most = draw(st.sampled_from([1, 3, 50]))
        conversions |= {"value": "amount", "value_unit": 10, "value_maximum": most}
    parts = draw(
        st.sampled_from([(40, 20, 40), (0, 100, 0), (100, 0, 0), (0, 0, 100), (33, 33, 34)])
    )
    return {
        "model": model,
        "touches": draw(st.lists(st.one_of(ADS, SEARCHES, PURCHASES), min_size=1, max_size=3)),
        "conversions": conversions,
        "window_days": draw(st.sampled_from([0.05, 1, 7])),
        "half_life_days": draw(st.sampled_from([0.1, 1, 30])),
        "position": parts,
        "time_unit": draw(st.sampled_from(["hour", "day", "minute"])),
    }


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_equals_the_twin(model: str, data: st.DataObject) -> None:
    p = plan_of(**data.draw(questions(model)))
    few = data.draw(st.sampled_from([0, 3, 40]), label="times")
    seed = data.draw(st.integers(0, 1 << 32), label="seed")
    people = data.draw(st.sampled_from([1, 64, 130]), label="people")
    slots = random_slots(p, people, np.random.default_rng(seed), few=few)
    assert np.array_equal(secret_cells(p, slots), plain_cells(p, slots))


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_one_person_moves_no_more_than_declared_whatever_is_sent(
    model: str, data: st.DataObject
) -> None:
    """Rows out of order, codes of no channel, values in empty slots: the cells stay within the blocks' bounds."""
    p = plan_of(**data.draw(questions(model)))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    one, other = (secret_cells(p, random_slots(p, 1, random, honest=False)) for _ in range(2))
    assert (one >= 0).all()
    start = 0
    for block in p.release.blocks:
        part = slice(start, start + block.cells)
        start += block.cells
        assert one[part].sum() <= block.sensitivity
        assert np.abs(one[part] - other[part]).sum() <= block.sensitivity


def test_the_bounds_are_met() -> None:
    """So the noise is not wider than it must be: two people who are credited all, at different channels."""
    touches = [{"dataset": "ads", "credit": "kind", "slots": 2}]
    conversions = {"dataset": "purchases", "slots": 2, "value": "amount", "value_maximum": 7}
    p = plan_of(model="last", touches=touches, conversions=conversions)

    def person(code: int) -> np.ndarray:
        return secret_cells(p, _same_time(p, code))

    moved = np.abs(person(1) - person(2))
    assert moved[5:10].sum() == p.release.blocks[1].sensitivity == 4
    assert moved[10:].sum() == p.release.blocks[2].sensitivity == 14


def _same_time(p: AttributionPlan, code: int) -> Slots:
    fields = {
        (provider, field.name): np.zeros(1, np.uint64)
        for provider, layout in p.layouts.items()
        for field in layout.fields
    }
    for k in range(2):
        fields["media", f"touch0.c{k}"][:] = code
        fields["shop", f"converted.t{k}"][:] = p.window
        fields["media", f"touch0.t{k}"][:] = p.window
    fields["shop", "converted.v0"][:] = 7
    for name in ("media", "touch0.on"), ("shop", "converted.on"):
        fields[name][:] = 3
    return Slots(fields, 1)


@pytest.mark.parametrize("model", MODELS)
def test_many_people_are_counted_in_chunks(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_LEAST_WORDS", 1)
    monkeypatch.setattr(attribution, "CHUNK_WORDS", 1)
    p = plan_of(model=model)
    assert attribution.chunk_words(p) == 1
    slots = random_slots(p, 150, np.random.default_rng(5), few=30)
    assert np.array_equal(secret_cells(p, slots), plain_cells(p, slots))


@pytest.mark.parametrize("model", MODELS)
def test_nobody_at_all(model: str) -> None:
    p = plan_of(model=model)
    assert not secret_cells(p, random_slots(p, 0, np.random.default_rng(1))).any()


@pytest.mark.parametrize("valued", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_the_declared_cost_bounds_what_is_sent(model: str, valued: bool) -> None:
    conversions: dict[str, Any] = {"dataset": "purchases", "slots": 3}
    if valued:
        conversions |= {"value": "amount", "value_unit": 10}
    for people, window in ((3000, 2), (100, 9)):
        p = plan_of(model=model, conversions=conversions, window_days=window)
        _, sent = computed(p, random_slots(p, people, np.random.default_rng(2)))
        assert sent <= most_bytes(p, people) <= 4 * sent


# --- the models themselves, by hand -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "ages", "expected"),
    [
        ("last", [9, 4, 0], [0, 0, 1]),
        ("first", [9, 4, 0], [1, 0, 0]),
        ("linear", [9, 4, 0], [85, 85, 85]),
        ("linear", [3], [256]),
        ("position", [9], [256]),
        ("position", [9, 4], [128, 128]),
        ("position", [9, 4, 0], [102, 51, 102]),
        ("position", [9, 5, 4, 0], [102, 25, 25, 102]),
        ("time_decay", [24, 0], [WHOLE * 32 // 95, WHOLE * 63 // 95]),
    ],
)
def test_credit_by_hand(model: str, ages: list[int], expected: list[int]) -> None:
    assert shared(plan_of(model=model, half_life_days=1), ages) == expected


def test_weights_halve_with_every_half_life() -> None:
    p = plan_of(model="time_decay", half_life_days=1, window_days=12)
    weights, per_day = p.weights(), 24 >> p.age_shift()
    assert 24 >> p.age_shift() << p.age_shift() == 24
    assert weights[0] == 63
    for day, expected in enumerate([63, 32, 16, 8, 4, 2, 1, 1, 1, 1, 1, 1]):
        assert weights[day * per_day] == expected
    assert list(weights) == sorted(weights, reverse=True)
    assert len(weights) <= 64
