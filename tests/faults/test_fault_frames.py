"""Frames of a running job that a cheating or broken node tampers with, repeats, cuts, drops or delays.

TLS keeps everybody else from touching frames, so whoever changes one is a node of the job. What is caught here
is what comparisons of hashes catch: uploads, the job's description, openings, the record, the result. What a
cheating seat adds to a multiplication's message is not: three semi-honest seats are the stated assumption. Such a
job ends in an error or in a wrong answer, and this suite only asks that it ends, and with its books in order.
"""

from __future__ import annotations

import struct
import time

import pytest
from fault_federation import Federation
from fault_people import is_right, parameters
from fault_taps import Change, Meddler, delayed, encoded, flipped, replaced

from hanse.errors import HanseError
from hanse.node.jobs.runner import Question
from hanse.node.transport.exchange import Sent
from hanse.wire.codec import HEAD_BYTES
from hanse.wire.message import Frame

WITHIN = 5.0


@pytest.fixture(scope="module")
def contract(federation: Federation) -> str:
    return federation.contract()


def new_question(federation: Federation, contract: str, counter: list[int] = [0]) -> Question:  # noqa: B006
    """A question that nobody has asked before, so that no recorded answer comes back."""
    counter[0] += 1
    return federation.question(contract, parameters=parameters(f"seen {counter[0]}"))


def meddled(
    federation: Federation, contract: str, sender: str, receiver: str, step: str, change: Change
) -> tuple[HanseError, str]:
    """The error of a job in which ``sender`` changes one frame, and the job."""
    meddler = Meddler(receiver, step, change)
    federation[sender].running.exchange.tap = meddler
    question = new_question(federation, contract)
    error, job = federation.fails(question, within=WITHIN)
    federation[sender].running.exchange.tap = None
    assert meddler.done
    return error, job


def huge(frame: Frame) -> list[Sent]:
    head = bytearray(encoded(frame))
    head[HEAD_BYTES - 8 : HEAD_BYTES] = struct.pack("<Q", 1 << 60)
    return [bytes(head)]


BROKEN: dict[str, tuple[Change, str]] = {
    "replayed": (lambda frame: [frame, frame], "wire.order"),
    "dropped": (lambda _frame: [], "wire.order"),
    "truncated": (lambda frame: [encoded(frame)[:-10]], "wire.magic"),
    "oversized": (huge, "wire.oversized"),
    "of another step": (lambda frame: [replaced(frame, step="another")], "wire.step"),
    "of another shape": (lambda frame: [replaced(frame, body=frame.body[:-1])], "wire.shape"),
    "in another's name": (lambda frame: [replaced(frame, source=2)], "wire.role"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_frame(linked: Federation, contract: str, how: str) -> None:
    change, code = BROKEN[how]
    error, job = meddled(linked, contract, "birch", "ash", "tag/dune.0.7", change)
    linked.check_story(error, job, code, "birch")
    linked.linked()  # some of these end the link
    assert is_right(linked.people(new_question(linked, contract)))


FLIPPED = (
    # sender, receiver, step, what catches it, whom the error names
    ("birch", "cedar", "agree.job", "engine.disagree", "seats"),
    ("dune", "birch", "upload.dune.rows", "align.upload", "dune"),
    ("dune", "ash", "upload.dune.seed0", "align.upload", "dune"),
    ("dune", "cedar", "lock.dune", "align.upload", "dune"),
    ("birch", "ash", "check.dune/open.hash", "engine.opening", "seats"),
    ("birch", "cedar", "check.dune/open", "engine.opening", "seats"),
    ("birch", "cedar", "tags/open.dune", "engine.opening", "seats"),
    ("birch", "ash", "tag/dune.0.43", "engine.opening", "seats"),
    ("birch", "cedar", "record", "engine.disagree", "seats"),
    ("birch", "dune", "record.digest", "gate.record", "seats"),
    ("birch", "elm", "result", "engine.opening", "seats"),
    ("birch", "elm", "result.hash", "engine.opening", "seats"),
)


@pytest.mark.parametrize(("sender", "receiver", "step", "code", "named"), FLIPPED)
def test_a_flipped_bit_where_hashes_are_compared(
    linked: Federation, contract: str, sender: str, receiver: str, step: str, code: str, named: str
) -> None:
    error, job = meddled(linked, contract, sender, receiver, step, flipped())
    linked.check_story(error, job, code, named)
    linked.check_result_was_paid(job)


@pytest.mark.parametrize("item", [pytest.param(40, id="nonce"), pytest.param(0, id="key")])
def test_a_flipped_bit_in_the_key_agreement_of_the_seats(
    linked: Federation, contract: str, item: int
) -> None:
    error, job = meddled(linked, contract, "birch", "cedar", "agree", flipped(item=item))
    linked.check_story(error, job, "engine.disagree", "seats")


def test_a_lock_that_is_not_the_one_it_shared(linked: Federation, contract: str) -> None:
    """A flipped high bit leaves no table of counts; a provider that is off by one is not caught."""
    error, job = meddled(linked, contract, "dune", "elm", "unlock.dune", flipped(bit=62))
    linked.check_story(error, job, "gate.lock", "provider")
    for name in ("ash", "birch", "cedar", "dune"):
        assert linked[name].budget_of(job) == "committed"  # the price stays: everything had left


@pytest.mark.parametrize(
    ("step", "bit"),
    [
        ("check.dune/ripple.30", 0),
        ("shuffle/ash.y", 5),
        ("tag/dune.0.7", 3),
        ("compute/exposed.1.0.0.after.2", 1),
        ("compute/count.1", 9),
        ("release/noise.3", 4),
        ("release/shown", 2),
    ],
)
def test_a_flipped_bit_within_the_circuit_ends_in_an_error_or_an_answer(
    linked: Federation, contract: str, step: str, bit: int
) -> None:
    """Not caught in general (see the module): the job ends, and its books are in order."""
    meddler = Meddler("ash" if "shuffle" not in step else "cedar", step, flipped(bit))
    linked["birch"].running.exchange.tap = meddler
    question = new_question(linked, contract)
    before = linked.known_jobs()
    begun = time.monotonic()
    try:
        linked.ask(question)
    except HanseError as error:
        assert error.remedy  # noqa: PT017
        assert time.monotonic() - begun < WITHIN
    linked["birch"].running.exchange.tap = None
    assert meddler.done
    linked.wait_over()
    for job in linked.known_jobs() - before:
        linked.check_result_was_paid(job)
    linked.check_records()


@pytest.mark.parametrize("step", ["tag/dune.0.7", pytest.param("result", marks=pytest.mark.slow)])
def test_waiting_is_on_progress(linked: Federation, contract: str, step: str) -> None:
    linked["birch"].running.exchange.tap = meddler = Meddler("", step, delayed(3.0))
    begun = time.monotonic()
    assert is_right(linked.people(new_question(linked, contract)))
    assert meddler.done
    assert time.monotonic() - begun > 3.0
