"""Attackers who ask a whole federation, from contract to answer: what stops them, and what it would be without.

The crowds are small and the runs few; what noise hides in one answer is measured thousands of times beside this.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hanse.contracts.accounting import composed
from hanse.errors import Refusal
from hanse.rehearsal import Answer, Federation

DAY = datetime(2026, 3, 1, 10)
TARGET = "target"
OWN = 19  # k - 1 people whom the attacker knows to have paid
PERIOD = {"starts": "2026-03-01", "ends": "2026-04-01"}


def seen(people: list[str]) -> dict[str, list[Any]]:
    """The attacker's table: it may hold whom it likes."""
    return {"person": people, "at": [DAY] * len(people)}


def federation(crowd: list[str], *, paid: bool, seed: int = 0, **options: Any) -> Federation:
    """media (the attacker) chose its crowd; shop knows 300 people, and whether the target paid is the secret."""
    fed = Federation(**{"k": 20, "seed": f"attack {seed} {paid}", "join_epsilon": 1.0, **options})
    fed.dataset("exposures", "media", seen(crowd), id="person", time="at", capacity=400)
    payers = [f"p{i}" for i in range(300)] + ([TARGET] if paid else [])
    baskets = {
        "person": payers,
        "paid_at": [DAY + timedelta(hours=1 + i % 40) for i in range(len(payers))],
        "cents": [100 + i for i in range(len(payers))],
    }
    fed.dataset(
        "baskets", "shop", baskets, id="person", time="paid_at", columns=["cents"], capacity=400
    )
    return fed


def paid_among(fed: Federation, least: int = 1, **options: Any) -> Answer[Any]:
    """How many of the attacker's crowd paid, and at least ``least`` cents."""
    paid = {"dataset": "baskets", "where": [{"column": "cents", "at_least": least}]}
    stages = [
        {"name": "seen", "any_of": [{"dataset": "exposures"}]},
        {"name": "paid", "any_of": [paid]},
    ]
    return fed.ask("funnel", {**PERIOD, "stages": stages}, **options)


def session(ask: Callable[[int], Answer[Any]], most: int) -> tuple[list[Answer[Any]], Refusal]:
    """The answers of a scripted session until it is refused, and the refusal."""
    answered: list[Answer[Any]] = []
    for number in range(most):
        try:
            answered.append(ask(number))
        except Refusal as refusal:
            return answered, refusal
    pytest.fail(f"{most} questions were answered, and none refused")


# --- crafted crowds ---------------------------------------------------------------------------------

ONE = [TARGET, *(f"invented{i}" for i in range(250))]
EDGE = [TARGET, *(f"p{i}" for i in range(OWN)), *(f"invented{i}" for i in range(250))]


@pytest.mark.parametrize("crowd", [ONE, EDGE], ids=["one and padding", "k and padding"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_crafted_crowd_is_not_told(crowd: list[str], seed: int) -> None:
    """The people that the attacker invented are seen, the target and those around it are not: in either world."""
    for paid in (False, True):
        answer = paid_among(federation(crowd, paid=paid, seed=seed), epsilon=4.0)
        assert answer.result.row("seen").people is not None
        assert answer.result.row("paid").people is None


def test_without_noise_the_threshold_itself_would_tell() -> None:
    """k - 1 known people and the target: shown if the target paid. So noise is never off at a node."""
    told = [
        paid_among(federation(EDGE, paid=paid), noise=False).result.row("paid").people
        for paid in (False, True)
    ]
    assert told == [None, OWN + 1]


# --- asking again -----------------------------------------------------------------------------------

ENDLESS = {"epsilon_budget": 1000, "join_budget": 1000}


def crowd_of(size: int) -> list[str]:
    return [f"p{i}" for i in range(size)]


def test_asking_again_gives_the_same_noise_so_averaging_gains_nothing() -> None:
    """Fifty times, by either recipient: one answer, one price."""
    fed = federation(crowd_of(200), paid=True)
    both = ("media", "shop")
    first = paid_among(fed, epsilon=0.5, recipients=both)
    spent = [b.spent for b in fed.budgets()]
    for number in range(50):
        again = paid_among(fed, epsilon=0.5, recipients=both, analyst=both[number % 2])
        assert again.recorded
        assert np.array_equal(again.values, first.values)
    assert [b.spent for b in fed.budgets()] == spent
    assert (first.values != first.exact()).any(), "the noise that does not average out"


def test_asking_for_another_recipient_is_another_answer_and_is_charged() -> None:
    fed = federation(crowd_of(200), paid=True)
    for times, recipients in enumerate((("media",), ("shop",), ("media", "shop")), start=1):
        assert not paid_among(fed, epsilon=0.5, recipients=recipients).recorded
        towards = [b.spent for b in fed.budgets() if b.towards == "recipients"]
        assert towards == pytest.approx([0.5 * times] * 2)


# --- subtracting ------------------------------------------------------------------------------------


def test_a_scripted_differencing_session_ends_at_the_guard() -> None:
    """Bounds that move by a cent: the tenth shade is the last one answered, whatever budget is left."""
    fed = federation(crowd_of(250), paid=True, similar_questions=10, **ENDLESS)
    answered, refusal = session(lambda n: paid_among(fed, 100 + n, epsilon=4.0), 30)
    assert refusal.code == "guard.similar"
    assert len(answered) == 10
    assert "segments" in refusal.remedy
    spent = [b.spent for b in fed.budgets()]
    for shade in (115, 116):  # it does not wear off, and costs nothing
        with pytest.raises(Refusal, match="almost the same"):
            paid_among(fed, shade, epsilon=1.0)
    assert [b.spent for b in fed.budgets()] == spent
    # What it has learned by subtracting is bought and paid for: neighbouring shades differ by one person.
    paid = np.array([a.exact()[1] for a in answered])
    noised = np.array([a.values[1] for a in answered])
    assert (np.diff(paid) == -1).any()
    assert (np.diff(noised) != np.diff(paid)).any()


def test_renaming_does_not_deceive_the_guard() -> None:
    fed = federation(crowd_of(250), paid=True, similar_questions=3, **ENDLESS)

    def renamed(number: int) -> Answer[Any]:
        stages = [
            {"name": f"saw {number}", "any_of": [{"dataset": "exposures"}]},
            {"name": f"bought {number}", "any_of": [{"dataset": "baskets"}]},
        ]
        return fed.ask("funnel", {**PERIOD, "stages": stages}, epsilon=0.5)

    answered, refusal = session(renamed, 20)
    assert refusal.code == "guard.similar"
    assert len(answered) == 3


# --- patience ---------------------------------------------------------------------------------------


def test_the_budget_ends_what_the_guard_does_not_see() -> None:
    """Small prices, the guard agreed away: every provider's own ledger stops it at its composed epsilon."""
    fed = federation(
        crowd_of(250), paid=True, epsilon_budget=2.0, join_budget=1000, similar_questions=10_000
    )
    answered, refusal = session(lambda n: paid_among(fed, 100 + n, epsilon=0.25), 100)
    assert refusal.code == "budget.spent"
    prices, delta = [0.25] * len(answered), fed.contract.privacy.delta
    assert composed(prices, delta) <= 2.0 < composed([*prices, 0.25], delta)
    towards = [b for b in fed.budgets() if b.towards == "recipients"]
    assert {b.provider for b in towards} == {"media", "shop"}
    assert all(b.spent == pytest.approx(composed(prices, delta)) for b in towards)


def test_what_the_seats_see_has_a_budget_of_its_own() -> None:
    """Questions that cost recipients little still align: the seats' account ends the session."""
    fed = federation(
        crowd_of(250), paid=True, epsilon_budget=1000, join_budget=3.0, similar_questions=10_000
    )
    answered, refusal = session(lambda n: paid_among(fed, 100 + n, epsilon=0.01), 100)
    assert refusal.code == "budget.join"
    assert len(answered) == 3
