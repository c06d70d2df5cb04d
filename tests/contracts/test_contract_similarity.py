"""The differencing guard: which questions are almost the same, and how many of them a period may see."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from contract_samples import CONTRACT, NOW, bundle_of, contract_fields, request

from hanse.contracts import Contract, History, check, similarity
from hanse.contracts.similarity import Sketch, difference, similar, sketch_of
from hanse.errors import Refusal

ADULTS = {"column": "age", "at_least": 18, "at_most": 65}
QUESTION: dict[str, Any] = {
    "starts": "2026-03-01",
    "ends": "2026-04-01",
    "crowds": [
        {"name": "saw it", "dataset": "exposures", "where": [ADULTS]},
        {"name": "bought", "dataset": "baskets",
         "where": [{"column": "shop", "one_of": ["north", "south", "east"]}]},
    ],
}  # fmt: skip


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    question = copy.deepcopy(QUESTION)
    change(question)
    return question


def how(parameters: dict[str, Any], **fields: Any) -> str | None:
    earlier = sketch_of(request(parameters=QUESTION))
    return difference(request(parameters=parameters, **fields), earlier)


ALIKE: dict[str, tuple[dict[str, Any], str]] = {
    "a bound": (changed(lambda q: q["crowds"][0]["where"][0].update(at_least=19)), "at_least"),
    "a value less": (changed(lambda q: q["crowds"][1]["where"][0]["one_of"].pop()), "leaves out"),
    "a value more": (
        changed(lambda q: q["crowds"][1]["where"][0]["one_of"].append("west")), "one_of"),
    "a condition less": (changed(lambda q: q["crowds"][0].pop("where")), "leaves out"),
    "a condition more": (
        changed(lambda q: q["crowds"][1]["where"].append({"column": "sum", "at_least": 5})), "where"),
    "a crowd more": (
        changed(lambda q: q["crowds"].append({"name": "scanned", "dataset": "scans"})), "dataset"),
    "how often": (changed(lambda q: q["crowds"][0].update(at_least=2)), "at_least"),
    "a day later": (changed(lambda q: q.update(starts="2026-03-02", ends="2026-04-02")), "period"),
    "other names": (changed(lambda q: q["crowds"][0].update(name="x")), "not at all"),
    "another order": (changed(lambda q: q["crowds"].reverse()), "not at all"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_alike_and_the_words_say_where(name: str) -> None:
    parameters, words = ALIKE[name]
    told = how(parameters)
    assert told is not None
    assert words in told


def test_equal_questions_over_changed_data_are_alike() -> None:
    told = how(QUESTION, commitments={"exposures": "cd" * 32, "baskets": ""})
    assert told is not None
    assert "data have changed" in told


DIFFERENT: dict[str, dict[str, Any]] = {
    "another dataset": changed(lambda q: q["crowds"][1].update(dataset="scans")),
    "another month": changed(lambda q: q.update(starts="2026-04-01", ends="2026-05-01")),
    "another column": changed(lambda q: q["crowds"][0]["where"][0].update(column="income")),
    "all of it": {"starts": "2026-03-01", "ends": "2026-04-01",
                  "crowds": [{"name": "a", "dataset": "topics", "where": [{"column": "t", "equals": 1}]}]},
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_questions_are_not_alike(name: str) -> None:
    assert how(DIFFERENT[name]) is None


def test_another_computation_is_not_alike() -> None:
    assert how(QUESTION, computation="crowd") is None


def test_a_sketch_survives_the_ledger_and_names_nobody() -> None:
    sketch = sketch_of(request(parameters=QUESTION))
    assert Sketch.of(sketch.body()) == sketch
    assert "exposures" not in str(sketch.body())


def limited(most: int) -> Contract:
    fields = contract_fields()
    fields["privacy"]["similar_questions"] = most
    return Contract.from_fields(fields)


def test_the_contract_says_how_many() -> None:
    contract = limited(3)
    asked: dict[str, Sketch] = {}
    for number in range(18, 21):
        question = changed(lambda q, n=number: q["crowds"][0]["where"][0].update(at_least=n))
        job = request(contract, parameters=question)
        check(bundle_of(contract), job, History(asked=asked), NOW)
        asked[job.job_hash] = sketch_of(job)
    last = request(
        contract, parameters=changed(lambda q: q["crowds"][0]["where"][0].update(at_least=30))
    )
    with pytest.raises(Refusal) as refusal:
        check(bundle_of(contract), last, History(asked=asked), NOW)
    error = refusal.value
    assert error.code == "guard.similar"
    assert all(job[:12] in error.message for job in asked)
    assert "at_least" in error.message
    assert "segments" in error.remedy
    assert set(similar(last, asked)) == set(asked)
    other = request(contract, parameters=DIFFERENT["another month"])
    check(bundle_of(contract), other, History(asked=asked), NOW)


def test_contracts_from_before_keep_their_hash() -> None:
    assert "similar_questions" not in CONTRACT.fields()["privacy"]
    assert limited(10).hash == CONTRACT.hash
    assert limited(11).hash != CONTRACT.hash


def test_a_question_is_hashed_once_however_many_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand jobs: the question's own leaves are hashed twice (sketch and names), theirs never."""
    question = request(parameters=QUESTION)
    earlier = sketch_of(question)
    hashed, times = similarity._hashed, []

    def counted(path: str, value: Any) -> str:
        times.append(path)
        return hashed(path, value)

    monkeypatch.setattr(similarity, "_hashed", counted)
    assert len(similar(question, {str(job): earlier for job in range(1000)})) == 1000
    assert len(times) == 2 * len(earlier.leaves)
