"""The same question about the same data is answered from the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_samples import filled_ledger, new_ledger

from hanse.errors import Fault
from hanse.ledger import Answers, Entry, MemoryStore, Spend, answer_key

QUESTION = {"computation": "funnel", "parameters": {"days": 30, "stages": ["seen", "bought"]}}
DATA = {"exposures": "ab" * 32, "baskets": "cd" * 32}
KEY_OF_ANSWER = answer_key(QUESTION, DATA)


def test_a_recorded_answer_is_found_and_costs_nothing() -> None:
    ledger = filled_ledger()
    answers, count = Answers(ledger), len(list(ledger.entries()))
    assert answers.find(KEY_OF_ANSWER) is None
    answers.record(KEY_OF_ANSWER, "5a" * 32, {"cells": [120, None]})
    answer = answers.find(KEY_OF_ANSWER)
    assert answer is not None
    assert (answer.job, answer.value) == ("5a" * 32, {"cells": [120, None]})
    assert answer.time == "2026-07-15T12:00:00.000000+00:00"
    # Finding writes nothing, so nothing can have been charged.
    assert len(list(ledger.entries())) == count + 1
    assert Spend(new_ledger(MemoryStore(ledger.entries(kind="answer")))).open_jobs() == ()


def test_an_answer_survives_a_restart() -> None:
    store = MemoryStore()
    Answers(new_ledger(store)).record(KEY_OF_ANSWER, "job-1", {"cells": [1]})
    answer = Answers(new_ledger(store)).find(KEY_OF_ANSWER)
    assert answer is not None
    assert answer.job == "job-1"


def test_the_order_of_names_does_not_matter() -> None:
    turned = dict(reversed(QUESTION.items()))
    assert answer_key(turned, dict(reversed(DATA.items()))) == KEY_OF_ANSWER


@pytest.mark.parametrize(
    ("question", "data"),
    [
        ({**QUESTION, "computation": "reach"}, DATA),
        ({**QUESTION, "parameters": {"days": 31, "stages": ["seen", "bought"]}}, DATA),
        ({**QUESTION, "parameters": {"days": 30, "stages": ["bought", "seen"]}}, DATA),
        (QUESTION, {**DATA, "baskets": "ce" * 32}),
        (QUESTION, {"exposures": DATA["baskets"], "baskets": DATA["exposures"]}),
        (QUESTION, {"exposures": DATA["exposures"]}),
    ],
)
def test_another_question_or_one_changed_row_is_another_key(
    question: dict[str, object], data: dict[str, str]
) -> None:
    answers = Answers(new_ledger())
    answers.record(KEY_OF_ANSWER, "job-1", {"cells": [1]})
    assert answers.find(answer_key(question, data)) is None


@pytest.mark.parametrize("data", [{}, {"exposures": "ab" * 32, "baskets": ""}, {"baskets": "v1"}])
def test_there_is_no_key_without_the_hash_of_every_dataset(data: dict[str, str]) -> None:
    with pytest.raises(Fault) as caught:
        answer_key(QUESTION, data)
    assert caught.value.code == "ledger.commitment"
    assert caught.value.remedy


def test_the_first_of_two_racing_answers_counts() -> None:
    answers = Answers(new_ledger())
    answers.record(KEY_OF_ANSWER, "job-1", {"cells": [1]})
    answers.record(KEY_OF_ANSWER, "job-2", {"cells": [2]})
    answer = answers.find(KEY_OF_ANSWER)
    assert answer is not None
    assert answer.job == "job-1"


def test_what_was_read_once_is_not_read_again_and_what_others_write_is_seen() -> None:
    """Two writers on one store; a thousand entries are read by the first find, none by the second."""
    store = MemoryStore()
    ledger = new_ledger(store)
    for number in range(1000):
        ledger.append("permit", {"job": str(number), "party": "media"})
    answers, read = Answers(ledger), []
    entries = ledger.entries

    def noted(kind: str | None = None, since: int = 0) -> Iterator[Entry]:
        for entry in entries(kind, since):
            read.append(entry.sequence)
            yield entry

    ledger.entries = noted  # type: ignore[method-assign]
    assert answers.find(KEY_OF_ANSWER) is None
    assert len(read) == 1000
    assert answers.find(KEY_OF_ANSWER) is None
    assert len(read) == 1000
    Answers(new_ledger(store)).record(KEY_OF_ANSWER, "job-1", {"cells": [1]})
    found = answers.find(KEY_OF_ANSWER)
    assert found is not None
    assert found.job == "job-1"
    assert len(read) == 1002  # the new entry, and once more to hand it out
