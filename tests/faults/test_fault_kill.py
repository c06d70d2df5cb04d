"""A node killed at its Nth message: everybody else ends the job soon, says who was lost, and nobody has a result
that was not paid for; the node comes back, and the same question gets its answer.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from fault_federation import ENDED, NAMES, SEATS, Federation
from fault_nursery import Nursery
from fault_people import EPSILON, is_right, parameters
from fault_privacy import traces_of_people

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
            "recipients": [ASKING, "ash"], "parameters": parameters(f"seen {next(self.numbers)}"),
        }  # fmt: skip

    def ask(self, question: dict[str, object]) -> list[int | None]:
        answer = self.nursery.ask(ASKING, {"verb": "run", "question": question})
        return [row["people"] for row in answer["result"]["rows"]]

    def messages(self, name: str) -> int:
        """How many messages a node sends in a job."""
        self.nursery.arm(name, at=0)
        assert is_right(self.ask(self.question()))
        return self.nursery.counted(name)

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
    assert traces_of_people(federation.root) == []


def sweep(ward: Ward, victim: str, numbers: Iterable[int]) -> None:
    """Kill at each of these messages, until a job passes untouched."""
    killed = 0
    for number in numbers:
        if not ward.survives(victim, at=number):
            break
        killed += 1
    else:
        raise AssertionError(f"{victim} still sends messages after the last of {killed} kills")
    assert killed >= 3


SEAT = (1, 40, 300, 1000)
COARSE = {
    "ash": SEAT,
    "birch": SEAT,
    "cedar": SEAT,
    "dune": (1, 2, 3, 12, 30),
    "elm": (1, 5, 9, 30),
}


@pytest.mark.parametrize("victim", NAMES)
def test_a_node_killed_at_its_nth_message(ward: Ward, victim: str) -> None:
    sweep(ward, victim, COARSE[victim])


FIBONACCI = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", NAMES)
def test_a_node_killed_at_many_of_its_messages(ward: Ward, victim: str) -> None:
    """Every message of the nodes without a seat, and of the seats the first, the last and some between."""
    if victim not in SEATS:
        sweep(ward, victim, itertools.count(1))
        return
    sweep(ward, victim, FIBONACCI)
    last = ward.messages(victim)
    for number in range(max(1, last - 24), last + 1):
        ward.survives(victim, at=number)


@pytest.mark.parametrize(
    ("victim", "step"),
    [
        ("birch", "agree"),
        ("cedar", "record.digest"),
        ("birch", "result"),
        ("cedar", "result.hash"),
        ("dune", "unlock.dune"),
        ("ash", "unlock.ash"),
    ],
)
def test_a_node_killed_around_its_commit(ward: Ward, victim: str, step: str) -> None:
    """Before it, the price is given back; after it, it stays, and the recipient still has nothing."""
    before = ward.federation.known_jobs()
    assert ward.survives(victim, step=step)
    jobs = {
        job: stored
        for job, stored in ward.federation[victim].jobs().items()
        if job not in before and stored.state != "done"
    }
    (job,) = jobs
    stays = step.startswith(("result", "unlock"))
    assert ward.federation[victim].budget_of(job) == ("committed" if stays else "released")
    assert jobs[job].state == "failed"
    assert (jobs[job].error or {})["code"] == "node.restarted"
    assert (jobs[job].result or {})["spent"] == stays
    assert not (ward.federation[ASKING].jobs()[job].result or {}).get("result")


@pytest.mark.parametrize("victim", ["birch", "dune"])
def test_a_node_killed_in_the_middle_of_a_frame(ward: Ward, victim: str) -> None:
    step = "upload.dune.rows" if victim == "dune" else "shuffle/ash.y"
    assert ward.survives(victim, step=step, half=True)


@pytest.mark.slow
def test_a_node_that_freezes(ward: Ward) -> None:
    """Its connections stay open: only its silence tells."""
    ward.nursery.arm("birch", step="tag/dune.0.7", freeze=True)
    before = ward.federation.known_jobs()
    with pytest.raises(HanseError) as raised:
        ward.ask(ward.question())
    ward.check_error("birch", raised.value.public())
    assert "silent" in raised.value.message
    survivors = [name for name in NAMES if name != "birch"]
    ward.federation.wait_over(survivors)
    (job,) = ward.federation.known_jobs() - before
    for story in ward.federation.stories(job, survivors).values():
        ward.check_error("birch", story)
    os.kill(ward.nursery.processes["birch"], signal.SIGCONT)
    ward.nursery.wait_linked()
    ward.federation.wait_over()
    ward.federation.check_records()
    assert is_right(ward.ask(ward.question()))
