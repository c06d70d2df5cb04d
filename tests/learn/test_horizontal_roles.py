"""Seats and parties as nodes would run them: commit before anything leaves, and nothing leaves if it says no."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from worlds_horizontal import PARTIES, homes

from hanse.entropy import SeededEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.gate.record import Opening, Record
from hanse.learn.horizontal import Patience, Plan, run_party, run_seat
from hanse.wire import Frame, Hall, HallChannel


def live(
    work: list[Callable[[HallChannel], Any]], tap: Callable[[Frame], Frame] | None = None
) -> list[Any]:
    """Each role in a thread; the first error ends the others' waits and is raised."""
    hall = Hall(len(work), tap=tap, patience=20.0)
    results: list[Any] = [None] * len(work)
    errors: list[BaseException] = []

    def run(role: int) -> None:
        try:
            results[role] = work[role](hall.channel(role))
        except BaseException as error:
            errors.append(error)
            hall.fail(error if isinstance(error, HanseError) else Fault("test", repr(error)))

    threads = [threading.Thread(target=run, args=(role,)) for role in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def roles(
    plan: Plan, seat_commit: Callable[[Record], None], party_commit: Callable[[Opening], None]
) -> list[Callable[[HallChannel], Any]]:
    given = homes("logistic", 300)

    def seat(number: int) -> Callable[[HallChannel], Any]:
        return lambda channel: run_seat(
            channel,
            number,
            plan,
            b"job",
            SeededEntropy(f"seat {number}"),
            seat_commit,
            patience=Patience(5.0),
        )

    def party(number: int) -> Callable[[HallChannel], Any]:
        return lambda channel: run_party(
            channel,
            plan,
            given[number],
            SeededEntropy(f"party {number}"),
            party_commit,
            patience=20.0,
        )

    return [*(seat(n) for n in range(3)), *(party(n) for n in range(3))]


def test_all_roles_write_down_the_same_and_commit_each_sum_before_it_leaves() -> None:
    plan = Plan(PARTIES)
    events: list[tuple[str, int]] = []
    lock = threading.Lock()

    def tap(frame: Frame) -> Frame:
        if frame.step.endswith((".total", ".mask")) and frame.target == 3:
            with lock:
                events.append(("left", int(frame.step.split(".")[1])))
        return frame

    def committed(record: Record) -> None:
        with lock:
            events.append(("commit", len([o for o in record.openings if o.to == PARTIES])))

    openings: list[Opening] = []
    results = live(roles(plan, committed, openings.append), tap)
    records = [record for record, _ in results[:3]]
    assert records[0].digest() == records[1].digest() == records[2].digest()
    sums = [o for o in records[0].openings if o.to == PARTIES]
    assert len(openings) == 3 * len(sums)
    for number in range(len(sums)):
        first = events.index(("left", number))
        assert events[:first].count(("commit", number + 1)) >= 1
        assert events.count(("commit", number + 1)) == 3
    betas = [result.chosen.common.model.beta for result in results[3:]]
    assert np.array_equal(betas[0], betas[1])
    assert np.array_equal(betas[0], betas[2])


@pytest.mark.parametrize("who", ["seat", "party"])
def test_a_refused_commit_stops_everything_before_a_sum_opens(who: str) -> None:
    left: list[str] = []

    def tap(frame: Frame) -> Frame:
        left.append(frame.step)
        return frame

    def no(_: Any) -> None:
        raise Refusal("budget", "the budget is spent")

    def yes(_: Any) -> None:
        return None

    with pytest.raises(Refusal, match="budget is spent"):
        live(roles(Plan(PARTIES), no if who == "seat" else yes, no if who == "party" else yes), tap)
    assert not [step for step in left if ".total" in step]
    if who == "party":
        assert not [step for step in left if step.startswith("sum.")]


def test_parties_that_were_asked_for_different_trainings_do_not_mix() -> None:
    given = homes("logistic", 300)
    plans = [Plan(PARTIES, l2=0.1 if n == 2 else 0.2) for n in range(3)]

    def seat(number: int) -> Callable[[HallChannel], Any]:
        entropy = SeededEntropy(f"seat {number}")
        return lambda c: run_seat(
            c, number, plans[0], b"job", entropy, lambda _: None, patience=Patience(2.0)
        )

    def party(number: int) -> Callable[[HallChannel], Any]:
        entropy = SeededEntropy(f"party {number}")
        return lambda c: run_party(
            c, plans[number], given[number], entropy, lambda _: None, patience=20.0
        )

    with pytest.raises(Refusal, match="only 2 parties took part"):
        live([*(seat(n) for n in range(3)), *(party(n) for n in range(3))])
