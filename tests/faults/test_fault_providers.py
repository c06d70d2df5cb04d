"""A provider that cheats, breaks or falls silent: the job ends everywhere with an error that names it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fault_asked import Asked
from fault_federation import CHARGED, Federation, until
from fault_people import is_right

from hanse.align.layout import merged
from hanse.align.upload import padded, send_lock, send_rows
from hanse.errors import Refusal
from hanse.node.jobs import living as jobs
from hanse.node.jobs import roles
from hanse.node.jobs.runner import Question
from hanse.wire import Channel

WITHIN = 5.0
Rows = np.ndarray[Any, np.dtype[np.uint64]]


class Cheat:
    """Stands for `run_provider` at dune: it changes the rows, or what is sent of them and of the lock."""

    def __init__(
        self,
        *,
        rows: Callable[[Rows], Rows] = lambda rows: rows,
        sending: Callable[[Channel], Channel] = lambda channel: channel,
        locking: Callable[[Channel], Channel] = lambda channel: channel,
        party: str = "dune",
    ) -> None:
        self._rows, self._sending, self._locking, self._party = rows, sending, locking, party
        self._honest = roles.run_provider

    def __call__(
        self,
        channel: Any,
        party: str,
        job: Any,
        entropy: Any,
        read: Any,
        commit: Any,
        progress: Any,
        keeper: Any = None,
    ) -> Any:
        if party != self._party:
            return self._honest(channel, party, job, entropy, read, commit, progress, keeper)
        plan = job.plan
        layout = plan.layouts[party]
        ids, columns = merged(read(), layout)
        rows = self._rows(padded(ids, columns, plan.capacities[party], layout, entropy))
        send_rows(self._sending(channel), roles.SEAT_ROLES, party, rows, entropy)
        outputs = plan.release.outputs
        lock = send_lock(self._locking(channel), roles.SEAT_ROLES, party, outputs, entropy)
        record = roles.receive_record(channel)
        commit(record)
        for role in job.recipient_roles:
            channel.send(role, f"unlock.{party}", lock)
        return record


class Differing:
    """A channel that adds one to what one seat gets at one step."""

    def __init__(self, channel: Channel, to: int, step: str) -> None:
        self._channel, self._to, self._step = channel, to, step

    def send(self, to: int, step: str, array: Any) -> None:
        if to == self._to and step == self._step:
            array = array + array.dtype.type(1)
        self._channel.send(to, step, array)


def twice(rows: Rows) -> Rows:
    """One person in two rows."""
    rows[5, 0] = rows[4, 0]
    return rows


def swapped(rows: Rows) -> Rows:
    rows[[10, 200]] = rows[[200, 10]]
    return rows


CHEATS: dict[str, tuple[Cheat, str]] = {
    "an id twice": (Cheat(rows=twice), "align.order"),
    "unsorted": (Cheat(rows=swapped), "align.order"),
    "one id only": (Cheat(rows=lambda rows: np.repeat(rows[:1], len(rows), 0)), "align.order"),
    "a row too many": (Cheat(rows=lambda rows: np.vstack([rows, rows[-1:]])), "wire.shape"),
    "a word too many": (Cheat(rows=lambda rows: np.hstack([rows, rows[:, :1]])), "wire.shape"),
    "other rows to one seat": (
        Cheat(sending=lambda channel: Differing(channel, 2, "upload.dune.rows")), "align.upload"),
    "another seed to one seat": (
        Cheat(sending=lambda channel: Differing(channel, 1, "upload.dune.seed1")), "align.upload"),
    "another lock to one seat": (
        Cheat(locking=lambda channel: Differing(channel, 0, "lock.dune")), "align.upload"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHEATS)
def test_a_cheating_provider_is_named_on_all_sides(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cheat, code = CHEATS[what]
    monkeypatch.setattr(jobs, "run_provider", cheat)
    error, job = linked.fails(asked, within=WITHIN)
    linked.check_story(error, job, code, "dune")
    assert len(linked.stories(job)) == 5
    assert all(linked[name].budget_of(job) == "released" for name in CHARGED)
    monkeypatch.undo()
    assert is_right(linked.people(asked))


def test_an_unexpected_error_tells_nothing_private(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def burst(rows: Rows) -> Rows:
        raise ValueError("could not convert 'secret-value-4711'")

    monkeypatch.setattr(jobs, "run_provider", Cheat(rows=burst))
    error, job = linked.fails(asked, within=WITHIN)
    linked.check_story(error, job, "node.internal", "dune")
    assert "dune" in error.remedy
    assert "4711" not in str([error.public(), *linked.stories(job).values()])
    assert "4711" not in caplog.text
    assert "ValueError in test_an_unexpected_error" in caplog.text  # dune's own log says where


def test_a_silent_provider_is_waited_for_until_the_job_is_cancelled(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    def wait(rows: Rows) -> Rows:
        let_go.wait(20)
        return rows

    monkeypatch.setattr(jobs, "run_provider", Cheat(rows=wait))
    asking = Asked(linked, asked)
    job = asking.job()
    assert asking.is_waiting(for_seconds=1.0)
    linked["birch"].running.runner.cancel(job, "it takes too long")
    error = asking.error(within=WITHIN)
    assert isinstance(error, Refusal)
    let_go.set()
    linked.wait_over()
    linked.check_story(error, job, "job.cancelled", "birch")
    assert "it takes too long" in error.message
    assert {linked[name].jobs()[job].state for name in (*CHARGED, "elm")} == {"cancelled"}
    linked.check_records()


def test_a_provider_that_leaves_without_its_lock(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares, and ends its part as if all were well."""

    class Leaving(Cheat):
        def __call__(self, channel: Any, party: str, *rest: Any) -> Any:
            channel = _Without(channel, "unlock.dune") if party == "dune" else channel
            return super().__call__(channel, party, *rest)

    monkeypatch.setattr(jobs, "run_provider", Leaving())
    asking = Asked(linked, asked)
    job = asking.job()
    try:
        error = asking.error(within=3.0)
    finally:
        if not linked["elm"].jobs()[job].finished:
            linked["elm"].running.runner.cancel(job, "the test is over")
        linked.wait_over()
        linked.check_records()
    assert "dune" in str(error)


class _Without:
    """A channel that swallows one step."""

    def __init__(self, channel: Any, step: str) -> None:
        self._channel, self._step = channel, step

    def send(self, to: int, step: str, array: Any) -> None:
        if step != self._step:
            self._channel.send(to, step, array)

    def receive(self, *arguments: Any) -> Any:
        return self._channel.receive(*arguments)


def test_nothing_is_left_of_all_this(linked: Federation, asked: Question) -> None:
    until(lambda: not any(m.open_jobs() for m in linked.each()), WITHIN, "no open jobs")
    assert is_right(linked.people(asked))
