"""A node killed at its Nth message: everybody else ends the job soon, says who was lost, and nobody has a result
that was not paid for; the node comes back, and the same question gets its answer.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fault_federation import ENDED, NAMES, Federation
from fault_nursery import Nursery
from fault_people import EPSILON, is_right, parameters

from hanse.errors import HanseError

ASKING = "elm"
LOST = ("peer.lost", "peer.unreachable")


@dataclass
class Ward:
    """The five node processes and the contract under which they are asked."""

    nursery: Nursery
    federation: Federation
    contract: str
    numbers: Iterator[int]

    def question(self) -> dict[str, object]:
        """A question that nobody has asked before."""
        return {
            "contract": self.contract, "computation": "funnel", "epsilon": EPSILON,
            "recipients": [ASKING], "parameters": parameters(f"seen {next(self.numbers)}"),
        }  # fmt: skip

    def ask(self, question: dict[str, object]) -> list[int | None]:
        answer = self.nursery.ask(ASKING, {"verb": "run", "question": question})
        return [row["people"] for row in answer["result"]["rows"]]

    def survives(self, victim: str, **orders: object) -> bool:
        """One question with a node that dies on the way, and all that must hold. False if it did not die."""
        before = self.federation.known_jobs()
        question = self.question()
        self.nursery.arm(victim, **orders)
        begun = time.monotonic()
        people: list[int | None] | None = None
        error: HanseError | None = None
        try:
            people = self.ask(question)
        except HanseError as raised:
            error = raised
        assert time.monotonic() - begun < ENDED
        if people is not None and self.nursery.is_alive(victim):
            self.nursery.arm(victim)
            assert is_right(people)
            return False
        assert self.nursery.reap(victim) == signal.SIGKILL
        self.check_end(victim, before, people, error)
        self.nursery.start(victim)
        self.federation.check_records()
        # What was finished has its answer recorded at the recipient; else the question runs anew.
        again = self.ask(question)
        assert is_right(again)
        assert people is None or people == again
        self.federation.check_records()
        return True

    def check_end(
        self,
        victim: str,
        before: set[str],
        people: list[int | None] | None,
        error: HanseError | None,
    ) -> None:
        """The survivors' side of the story, while the victim is down."""
        survivors = [name for name in NAMES if name != victim]
        if error is None:
            assert people is not None
            assert is_right(people)
        elif victim == ASKING:
            assert error.code == "node.stopped"
        else:
            self.check_error(victim, error.public())
        # What the asking node sent before it died may still be on its way.
        self.federation.wait_over(survivors, quiet=0.5 if victim == ASKING else 0.0)
        jobs = self.federation.known_jobs() - before
        assert len(jobs) <= 1
        for job in jobs:
            for story in self.federation.stories(job, survivors).values():
                self.check_error(victim, story)
            self.federation.check_result_was_paid(job)
        self.federation.check_records(survivors)

    @staticmethod
    def check_error(victim: str, error: dict[str, str]) -> None:
        assert error["code"] in LOST, error
        assert f"'{victim}'" in error["message"], error
        assert victim in error["where"], error
        assert error["remedy"], error


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    federation = Federation.found(tmp_path_factory.mktemp("killed"))
    nursery = Nursery(federation)
    try:
        nursery.start(*NAMES)
        yield Ward(nursery, federation, federation.contract(), itertools.count(1))
    finally:
        nursery.close()


COARSE = (1, 2, 5, 13, 34, 89, 233, 610)
FIBONACCI = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)


def sweep(ward: Ward, victim: str, numbers: tuple[int, ...]) -> None:
    """Kill at each of these messages, until the job passes untouched."""
    for number in numbers:
        if not ward.survives(victim, at=number):
            assert number > numbers[0]
            return
    raise AssertionError(f"{victim} still sends messages after {numbers[-1]}")


@pytest.mark.parametrize("victim", NAMES)
def test_a_node_killed_at_its_nth_message(ward: Ward, victim: str) -> None:
    sweep(ward, victim, COARSE)
