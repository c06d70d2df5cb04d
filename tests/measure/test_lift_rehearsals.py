"""Whole lift jobs against the plain twin; what one person can move, whatever providers send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_lifts import ENDS, STARTS, contract_of, federation_of, of_arm, questions

from hanse.engine.session import Session
from hanse.engine.shares import Bits
from hanse.errors import Refusal
from hanse.measure.lift import cost as lift_cost
from hanse.measure.lift import protocol as lift
from hanse.measure.lift.protocol import LiftPlan, LiftQuestion
from secret_stage import Dealer, keyed, opened

_RANDOM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = [bytes([number]) * 32 for number in range(3)]


def _compare(parameters: dict[str, Any], seed: int) -> None:
    with federation_of(seed) as fed:
        if len({u.provider for u in _providers(fed, parameters)}) < 2:
            return  # see tests/rehearsal: a question to one provider alone
        answer = fed.ask("lift", parameters, noise=False)
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] >= 20
    assert np.array_equal(answer.values, np.where(shown, exact, 0))


def _providers(fed: Any, parameters: dict[str, Any]) -> list[Any]:
    text = str(parameters)
    return [d for d in fed.contract.datasets if f"'{d.name}'" in text]


@settings(_RANDOM, max_examples=15)
@given(questions(), st.integers(0, 10**6))
def test_whole_jobs_equal_the_twin(parameters: dict[str, Any], seed: int) -> None:
    _compare(parameters, seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(_RANDOM, max_examples=300)
@given(questions(), st.integers(0, 10**6))
def test_whole_jobs_equal_the_twin_at_length(parameters: dict[str, Any], seed: int) -> None:
    _compare(parameters, seed)


# --- on dealt shares: what providers send need not be honest ----------------------------------------


@dataclass
class Dealt:
    """People whose fields are whatever bits the test chose: planes by field name."""

    fields: dict[str, Bits]

    def field(self, _provider: str, name: str) -> Bits:
        return self.fields[name]


def _cells(p: LiftPlan, values: dict[str, Any], seed: int) -> Any:
    """`compute` on dealt shares, opened [cells]."""
    dealer = Dealer(seed)
    shares = {f.name: dealer.bits(values[f.name], f.bits) for f in p.fields}

    def seat(s: Session) -> Any:
        mine: Any = Dealt({name: dealt[s.seat] for name, dealt in shares.items()})
        return opened(s, lift.compute(s, mine, p))

    return keyed(seat, KEYS)[0].view(np.int64)


def _plan(parameters: dict[str, Any]) -> LiftPlan:
    return lift.plan(LiftQuestion.read(parameters), contract_of(), epsilon=1.0)


THREE_ARMS = {
    "arms": [{"name": a, **of_arm(a)} for a in "abc"], "control": "a",
    "outcomes": [
        {"name": "visited", "dataset": "visits"},
        {"name": "spent", "dataset": "orders", "column": "amount", "most": 100},
        {"name": "member", "dataset": "members"},
    ],
    "starts": STARTS, "ends": ENDS, "by": {"dataset": "letters", "column": "age"},
}  # fmt: skip


def _junk(p: LiftPlan, people: int, seed: int) -> dict[str, Any]:
    """Any bits at all in every field: several arms at once, codes of no segment."""
    rng = np.random.default_rng(seed)
    return {f.name: rng.integers(0, 1 << f.bits, people) for f in p.fields}


@pytest.mark.parametrize("seed", range(4))
def test_cells_of_junk_are_what_they_say(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lift, "CHUNK_WORDS", 1 << 6)  # several chunks of pairs
    p = _plan(THREE_ARMS)
    values = _junk(p, 700, seed)
    arms = np.array([values[e.field.name] for e in p.arms if e.field])
    happened = np.array([values[e.field.name] for e in p.crowds if e.field])
    spent, age = values[p.values[0].name], values[p.label.name]  # type: ignore[union-attr]
    assert (arms.sum(0) > 1).any()
    assert (age >= 3).any()
    alone = (arms == 1) & (arms.sum(0) == 1)
    groups = np.array([a & (age == s) for a in alone for s in range(3)])
    pattern = 2 * happened[0] + happened[1]
    expected = [
        *((g & (pattern == x)).sum() for g in groups for x in range(4)), (arms.sum(0) > 1).sum(),
        *(spent[g].sum() for g in groups), *((spent[g] ** 2).sum() for g in groups),
    ]  # fmt: skip
    assert _cells(p, values, seed).tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_one_person_moves_no_block_beyond_its_sensitivity(seed: int) -> None:
    p = _plan(THREE_ARMS)
    before = _junk(p, 130, seed)
    after = {name: bits.copy() for name, bits in before.items()}
    rng = np.random.default_rng(seed + 100)
    person = int(rng.integers(130))
    for f in p.fields:
        after[f.name][person] = rng.integers(0, 1 << f.bits)
    extreme = p.values[0].name
    if seed % 2:  # the worst: the cap in one arm, then in another
        for number, values in enumerate((before, after)):
            for place, expression in enumerate(p.arms):
                values[expression.field.name][person] = place == number  # type: ignore[union-attr]
            values[extreme][person] = p.values[0].most
            values[p.label.name][person] = 1  # type: ignore[union-attr]
    moved = np.abs(_cells(p, after, seed) - _cells(p, before, seed))
    start = 0
    for block in p.release.blocks:
        here = moved[start : start + block.cells].sum()
        assert here <= block.sensitivity
        if seed % 2:
            assert here == block.sensitivity, "the bound is not tight"
        start += block.cells


# --- questions that are refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"arms": []}, "give either arms and control, or exposed and base"),
        ({"base": {"dataset": "letters"}}, "give either arms and control"),
        ({"control": "d"}, "the name of one of them"),
        ({"arms": THREE_ARMS["arms"][:1]}, "at least two arms"),
        ({"outcomes": []}, "outcomes"),
        ({"outcomes": [THREE_ARMS["outcomes"][0]] * 2}, "same name"),
        ({"outcomes": [{"name": "x", "dataset": "visits", "most": 3}]}, "beside a column"),
        ({"outcomes": [{"name": "x", "any_of": [{"dataset": "visits"}], "column": "amount"}]},
         "one dataset"),
        ({"outcomes": [{"name": str(i), "dataset": "visits"} for i in range(5)]}, "at most 4"),
        ({"by": {"dataset": "letters", "column": "age", "merge": {"all": ["old"]}}}, "taken"),
        ({"ends": STARTS}, "later"),
        ({"exposed": {"dataset": "letters"}, "base": {"dataset": "members"}, "arms": []}, "with exposed"),
    ],
)  # fmt: skip
def test_questions_that_say_nothing_clear_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(Refusal, match=word) as refusal:
        LiftQuestion.read({**THREE_ARMS, **change})
    assert refusal.value.code == "question.malformed"


def test_a_value_beyond_sixteen_bits_is_refused_with_its_remedy() -> None:
    spent = {"name": "spent", "dataset": "orders", "column": "amount", "most": 70_000}
    with pytest.raises(Refusal, match="131,071") as refusal:
        _plan({**THREE_ARMS, "outcomes": [spent]})
    assert refusal.value.code == "question.value"
    assert "larger unit" in refusal.value.remedy
    _plan({**THREE_ARMS, "outcomes": [{**spent, "most": 65_535}]})


def test_a_column_that_cannot_be_summed_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        _plan({**THREE_ARMS, "outcomes": [{"name": "x", "dataset": "letters", "column": "age"}]})
    assert refusal.value.code == "contract.purpose"


def test_shares_of_epsilon_follow_from_the_outcomes() -> None:
    counts, sums, squares = _plan(THREE_ARMS).release.blocks
    assert (counts.sensitivity, sums.sensitivity, squares.sensitivity) == (2, 2 * 127, 2 * 127**2)
    assert sums.share == pytest.approx(1.6 * counts.share)
    assert sums.share == pytest.approx(4 * squares.share)
    alone = _plan({**THREE_ARMS, "outcomes": THREE_ARMS["outcomes"][:1]}).release.blocks
    assert [b.share for b in alone] == [1.0]


def test_the_declared_cost_holds_for_many_people() -> None:
    """The conformance suite measures it on few people, where the last lanes weigh most."""
    p, rows = _plan(THREE_ARMS), 30_000
    dealer = Dealer(1)
    values = _junk(p, rows, 1)
    shares = {f.name: dealer.bits(values[f.name], f.bits) for f in p.fields}

    def seat(s: Session) -> int:
        mine: Any = Dealt({name: dealt[s.seat] for name, dealt in shares.items()})
        lift.compute(s, mine, p)
        return s.meter.bytes

    sent = max(keyed(seat, KEYS))
    assert sent <= lift_cost.most_bytes(p, rows) <= 1.5 * sent


def test_who_can_count_is_known_to_an_arm() -> None:
    p = _plan(THREE_ARMS)
    kept = {
        tuple(q for i, q in enumerate(p.providers) if mask >> i & 1)
        for mask in range(1, 1 << len(p.providers))
        if p.keep(mask)
    }
    assert all("media" in providers for providers in kept)
    assert len(kept) == 4
