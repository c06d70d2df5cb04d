"""Contributions: the axioms that name the Shapley value, and a value that is computed by hand."""

from __future__ import annotations

import math
import random

import pytest

from hanse.errors import Refusal
from hanse.learn.evaluation.shapley import coalitions, contributions, valued


def test_three_parties_by_hand() -> None:
    # The glove game: a has a left glove, b and c a right one each; a pair is worth 1.
    found, _ = valued("abc", lambda s: float("a" in s and len(s) > 1))
    assert {c.party: round(c.shapley, 12) for c in found} == {
        "a": round(2 / 3, 12), "b": round(1 / 6, 12), "c": round(1 / 6, 12),
    }  # fmt: skip
    assert {c.party: c.ablation for c in found} == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_values_add_up_are_symmetric_and_nothing_for_nothing() -> None:
    chance = random.Random(2)  # noqa: S311
    parties = ["a", "b", "c", "d"]
    values = {s: chance.random() for s in coalitions(parties)}
    for some in list(values):  # d adds nothing; b and c are alike
        values[some] = values[some - {"d"}]
    for some in list(values):
        if "c" in some and "b" not in some:
            values[some] = values[(some - {"c"}) | {"b"}]
    found = {c.party: c for c in contributions(parties, values)}
    whole = values[frozenset(parties)] - values[frozenset()]
    assert math.isclose(sum(c.shapley for c in found.values()), whole, abs_tol=1e-12)
    assert math.isclose(sum(c.share for c in found.values()), 1.0, abs_tol=1e-9)
    assert abs(found["d"].shapley) < 1e-12
    assert math.isclose(found["b"].shapley, found["c"].shapley, abs_tol=1e-12)


def test_the_label_s_owner_is_in_every_coalition() -> None:
    asked = []
    found, values = valued(
        ["guest", "host", "map"], lambda s: asked.append(s) or float(len(s)), ["guest"]
    )
    assert len(asked) == 4
    assert all("guest" in s for s in values)
    assert [c.party for c in found] == ["host", "map"]


def test_what_cannot_be_valued_is_refused() -> None:
    with pytest.raises(Refusal, match="missing"):
        contributions("ab", {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("ab"): 2.0})
    with pytest.raises(Refusal, match="can be valued"):
        coalitions([f"party-{n}" for n in range(11)])
    with pytest.raises(Refusal, match="can be valued"):
        coalitions(["only"], ["only"])
