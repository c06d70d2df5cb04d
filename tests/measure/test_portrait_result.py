"""Portrait questions that are refused, bases that hold their crowd, and what a recipient reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from random_funnels import contract_of

from hanse.errors import Refusal
from hanse.measure.portrait import protocol as portrait
from hanse.measure.portrait.protocol import PortraitPlan, PortraitQuestion
from hanse.measure.portrait.reading import result
from hanse.measure.portrait.release import KNOWN, UNKNOWN, Figure, Sizes, release_of
from hanse.measure.portrait.result import PortraitResult

_AGE = {"name": "age", "dataset": "people", "column": "age"}
_KINDS = {"name": "kinds", "dataset": "exposures", "column": "kind", "several": True}
_YEAR = {"starts": "2026-01-01", "ends": "2026-02-01"}
_VISITS, _SCANS = {"dataset": "visits"}, {"dataset": "scans"}


def _plan(*, noise: bool = True, **words: Any) -> PortraitPlan:
    asked = {"crowd": _VISITS, "labels": [_AGE, _KINDS], **_YEAR, **words}
    return portrait.plan(PortraitQuestion.read(asked), contract_of(3), epsilon=2.0, noise=noise)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"labels": []}, "must not be empty"),
        ({"labels": [_AGE, {**_KINDS, "name": "age"}]}, "the same name"),
        ({"labels": [{**_AGE, "merge": {"x": []}}]}, "joins nothing"),
        ({"base": _VISITS}, "the same"),
        ({"cross": [["age", "sex"]]}, "two different labels"),
        ({"cross": [["kinds", "age"]]}, "only the second"),
        ({"cross": [["age", "kinds"], ["age", "kinds"]]}, "crossed twice"),
        ({"weights": {"sex": 1}}, "neither a label nor a cross table"),
        ({"weights": {"age": 0}}, "more than 0"),
        ({"ends": "2025-01-01"}, "later than starts"),
        ({"colour": 1}, "not a known key"),
    ],
)
def test_questions_that_make_no_sense_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refusal:
        _plan(**words)
    assert refusal.value.code == "question.malformed"
    assert "Value error" not in refusal.value.message


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ({**_AGE, "column": "amount"}, "contract.column"),
        ({**_AGE, "dataset": "baskets", "column": "amount"}, "contract.purpose"),
        ({**_AGE, "column": "kids", "several": True}, "contract.purpose"),
        ({**_AGE, "merge": {"x": ["a"], "y": ["a"]}}, "contract.value"),
    ],
)
def test_labels_that_the_contract_does_not_have_are_refused(
    label: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        _plan(labels=[label])
    assert refusal.value.code == code


def test_too_many_cells_are_refused() -> None:
    sizes = Sizes(100, several=False)
    with pytest.raises(Refusal) as refusal:
        release_of(
            ["a", "b", "a x b"], [sizes, sizes], [(sizes, sizes)], {}, "known",
            epsilon=1.0, k=20, noise=True,
        )  # fmt: skip
    assert refusal.value.code == "question.cells"


@pytest.mark.parametrize(
    ("base", "crowd", "against"),
    [
        (None, _VISITS, "known"),
        (_SCANS, _VISITS, "apart"),
        ({"any_of": [_SCANS, _VISITS]}, _VISITS, "around"),
        (_VISITS, {"all_of": [_SCANS, _VISITS]}, "around"),
        (_VISITS, {"any_of": [_SCANS, _VISITS]}, "apart"),
        ({"any_of": [_SCANS, _VISITS]}, {"all_of": [_VISITS, {"none_of": [_SCANS]}]}, "around"),
        (_VISITS, {"dataset": "visits", "at_least": 2}, "around"),
        ({"dataset": "visits", "at_least": 2}, _VISITS, "apart"),
        (_VISITS, {**_VISITS, "starts": "2026-01-03", "ends": "2026-01-09"}, "around"),
        (_VISITS, {**_VISITS, "starts": "2025-12-03", "ends": "2026-01-09"}, "apart"),
        ({"dataset": "exposures"},
         {"dataset": "exposures", "where": [{"column": "kind", "equals": "tv"}]}, "around"),
        ({"dataset": "exposures", "where": [{"column": "kind", "equals": "tv"}]},
         {"dataset": "exposures"}, "apart"),
    ],
)  # fmt: skip
def test_bases_that_hold_the_crowd_are_known_as_such(
    base: dict[str, Any] | None, crowd: dict[str, Any], against: str
) -> None:
    assert _plan(crowd=crowd, base=base).against == against


def test_epsilon_is_shared_out_by_weight() -> None:
    plan = _plan(cross=[["age", "kinds"]], weights={"kinds": 2, "age x kinds": 5})
    assert [b.share for b in plan.release.blocks] == [1 / 8, 2 / 8, 5 / 8]
    assert [b.sensitivity for b in plan.release.blocks] == [2, 6, 6]
    assert [b.cells for b in plan.release.blocks] == [4 + 3, 4 + 3, 9]


# --- reading --------------------------------------------------------------------------------------


def _value(f: Figure) -> int:
    """100 of the crowd and 300 of the base have each value of three; 200 of the crowd the kind tv."""
    if (f.block, f.arm, f.value) == (1, "crowd", 0):
        return 200
    known = 3 if f.value == KNOWN else 1
    rows = 3 if f.arm == "cross" and f.row == KNOWN else 1
    return (300 if f.arm == "base" else 100) * known * rows


def _read(hidden: tuple[tuple[int, str, int], ...] = ()) -> tuple[PortraitPlan, PortraitResult]:
    """A plan without noise, and its portrait where ``hidden`` figures are suppressed."""
    plan = _plan(noise=False, cross=[["age", "kinds"]])
    published = np.array([(f.block, f.arm, f.value) not in hidden for f in plan.figures])
    values = np.array([_value(f) for f in plan.figures])
    return plan, result(plan, np.where(published, values, 0), published)


def test_shares_and_indices() -> None:
    _, found = _read()
    tv, web = found.row("kinds", "tv"), found.row("kinds", "web")
    assert (tv.crowd, tv.crowd_share, tv.base_share, tv.tgi) == (
        200, pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(200),
    )  # fmt: skip
    assert web.tgi is not None
    assert tv.tgi is not None
    assert web.tgi == pytest.approx(tv.tgi / 2)
    assert tv.tgi_low is not None
    assert tv.tgi_high is not None
    assert 100 < tv.tgi_low < tv.tgi < tv.tgi_high
    assert found.to_arrow().num_rows == 5
    assert found.crosses_to_arrow().num_rows == 6
    assert found.known_to_arrow().num_rows == 4
    with pytest.raises(KeyError):
        found.row("kinds", "radio")
    with pytest.raises(KeyError):
        found.cross("a", "radio")


def test_an_index_needs_all_of_its_figures() -> None:
    plan, whole = _read()
    for hidden in ((1, "crowd", 0), (1, "crowd", KNOWN), (1, "base", 0), (1, "base", KNOWN)):
        _, found = _read((hidden,))
        row = found.row("kinds", "tv")
        assert row.tgi is row.tgi_low is row.tgi_high is None
        assert row.suppressed == f"{hidden[1]}: {plan.release.why_suppressed(0)}"
        assert found.row("age", "a") == whole.row("age", "a")
        assert "suppressed" in str(found)
        assert "suppressed" in found.to_svg()
    assert "suppressed" not in str(whole)
    assert all(not r.suppressed for r in (*whole.rows, *whole.known))


def test_who_is_unknown_is_told_apart() -> None:
    _, found = _read(((0, "crowd", UNKNOWN),))
    age = next(k for k in found.known if (k.label, k.arm) == ("age", "crowd"))
    assert (age.known, age.unknown) == (300, None)
    assert age.suppressed.startswith("unknown: fewer than 20")
    # A base of those who have the label has nobody without; that is no suppression.
    base = next(k for k in found.known if (k.label, k.arm) == ("age", "base"))
    assert (base.unknown, base.suppressed) == (None, "")


def test_a_result_is_plain_values_for_storage() -> None:
    _, found = _read()
    body = json.loads(json.dumps(found.body()))
    assert body["computation"] == "portrait"
    assert [t["title"] for t in body["tables"]] == [
        "People whose label is known", "age", "kinds", "age x kinds within the crowd: people, TGI",
    ]  # fmt: skip
    assert len(body["rows"]) == 5
    assert len(body["crosses"]) == 6


def test_a_picture_shows_the_labels_that_are_asked_for() -> None:
    _, found = _read()
    assert found.to_svg("age").count("<rect") == 3
    assert found.to_svg().count("<rect") == 5
    with pytest.raises(KeyError):
        found.to_svg("sex")
