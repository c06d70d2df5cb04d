"""Threads, errors and the tap: one error reaches the caller, none is swallowed, nothing is left waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from crowds import ENDS, STAGES, STARTS, federation

from hanse import menu
from hanse.clock import ManualClock
from hanse.contracts import Library
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.node.jobs.runner import Question, Runner
from hanse.wire import Frame


def _alive() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("rehearsal-")}


def test_too_small_a_capacity_is_told_by_its_party_and_opens_nothing() -> None:
    fed = federation()
    fed.dataset("crowded", "shop", {"who": [f"p{i}" for i in range(50)], "at": ["2026-03-02"] * 50},
                id="who", time="at", capacity=10)  # fmt: skip
    with pytest.raises(Fault) as fault:
        fed.funnel([("seen", "exposures"), ("there", "crowded")], STARTS, ENDS)
    assert fault.value.code == "catalog.capacity"
    assert "50" not in fault.value.message
    assert all(b.spent == 0 for b in fed.budgets() if b.towards == "recipients")
    assert _alive() == set()


def test_a_bug_in_a_role_is_a_fault_that_names_the_role_and_keeps_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError("a private 12345")

    funnel = menu.MENU["funnel"]
    monkeypatch.setitem(menu.MENU, "funnel", replace(funnel, rows=broken))
    fed = federation()
    with pytest.raises(Fault) as fault:
        fed.funnel(STAGES, STARTS, ENDS)
    assert fault.value.code == "rehearsal.internal"
    assert "(provider)" in fault.value.message
    assert "12345" not in str(fault.value)
    assert isinstance(fault.value.__cause__, ZeroDivisionError)
    assert _alive() == set()


def test_an_error_raised_by_the_tap_reaches_the_caller() -> None:
    def stop(frame: Frame) -> Frame:
        if frame.step.startswith("shuffle/"):
            raise Foul("test.stop", "stopped by the tap", remedy="take the tap away")
        return frame

    fed = federation(tap=stop)
    with pytest.raises(Foul) as foul:
        fed.funnel(STAGES, STARTS, ENDS)
    assert foul.value.code == "test.stop"
    assert all(b.spent == 0 for b in fed.budgets() if b.towards == "recipients")
    assert _alive() == set()


def test_a_changed_share_of_rows_is_noticed_and_its_provider_named() -> None:
    def bend(frame: Frame) -> Frame:
        if frame.step == "upload.shop.rows" and frame.target == 1:
            body = np.array(frame.body)
            body.flat[0] ^= np.uint64(1)
            return replace(frame, body=body)
        return frame

    with pytest.raises(Foul, match="shop sent different shares") as foul:
        federation(tap=bend).funnel(STAGES, STARTS, ENDS)
    assert foul.value.code == "align.upload"


def test_a_changed_lock_gives_no_wrong_result() -> None:
    def bend(frame: Frame) -> Frame:
        if frame.step == "unlock.shop":
            return replace(frame, body=np.array(frame.body) + np.uint64(1 << 50))
        return frame

    fed = federation(tap=bend)
    with pytest.raises(Foul) as foul:
        fed.funnel(STAGES, STARTS, ENDS, epsilon=1.0)
    assert foul.value.code == "gate.lock"
    # The seats had committed: from then on nothing is given back.
    assert {b.spent for b in fed.budgets() if b.towards == "recipients" and b.spent} == {1.0}


def test_an_interrupt_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    fed = federation(tap=lambda frame: None if frame.step == "agree" else frame, patience=30.0)
    real = threading.Thread.join
    calls = []

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name.startswith("rehearsal-") and not calls:
            calls.append(1)
            raise KeyboardInterrupt
        real(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fed.funnel(STAGES, STARTS, ENDS)
    assert time.monotonic() - began < 10
    assert _alive() == set()
    assert all(b.spent == 0 for b in fed.budgets() if b.towards == "recipients")


def test_progress_is_told_by_role() -> None:
    told: list[tuple[str, str, float]] = []
    federation(progress=lambda role, step, share: told.append((role, step, share))).funnel(
        STAGES, STARTS, ENDS
    )
    assert {"media (seat 0)", "media (provider)", "media (recipient)"} <= {
        role for role, _, _ in told
    }
    assert {step for _, step, _ in told} >= {"rows of shop", "done"}


def test_a_rehearsal_drafts_the_request_that_a_node_would_draft() -> None:
    """Except for chance, time, attempt and what the asker chose; else a rehearsal would promise too much."""
    fed = federation()
    answer = fed.funnel(STAGES, STARTS, ENDS, by="people.age", recipients=("media",))

    class Office:
        party = "media"

        def bundle(self, _: str) -> Any:
            return fed.bundle

        def library(self) -> Library:
            return Library()

    clock = fed.clock
    assert isinstance(clock, ManualClock)
    runner = Runner(cast(Any, Office()), cast(Any, None), clock, SeededEntropy("node"))
    request, _ = runner.draft(
        Question("rehearsal", "funnel", answer.parameters, 1.0, ("media",)),
        dict(answer.job.request.commitments),
    )
    ours, nodes = answer.job.request.fields(), request.fields()
    assert ours.pop("nonce") != nodes.pop("nonce")
    assert ours == nodes


@pytest.mark.parametrize("noise", [True, False])
def test_a_question_to_one_provider_alone(noise: bool) -> None:
    """Nobody is matched, so nothing is shown to the seats and nothing is charged for it."""
    fed = federation()
    stages = [("bought", "baskets"), ("again", "baskets", 20)]
    answer = fed.funnel(stages, STARTS, ENDS, noise=noise)
    assert abs((answer.result.row("bought").people or 0) - 80) < 40
    assert {b.spent for b in fed.budgets() if b.towards == "seats"} == {0.0}


def test_a_job_given_up_after_rows_were_shared_keeps_the_price_of_the_alignment() -> None:
    """Else whoever asks and gives up again and again would average the padding away for nothing."""

    def broken(frame: Frame) -> Frame | None:
        if frame.step.startswith("compute"):
            raise Fault("test.broken", "stopped on the way")
        return frame

    fed = federation(tap=broken)
    with pytest.raises(HanseError):
        fed.funnel(STAGES, STARTS, ENDS)
    spent = {(b.provider, b.towards): b.spent for b in fed.budgets()}
    assert spent["media", "seats"] == spent["shop", "seats"] == 1.0
    assert spent["media", "recipients"] == spent["shop", "recipients"] == 0
