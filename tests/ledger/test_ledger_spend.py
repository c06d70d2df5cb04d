"""Budgets out of the ledger: reserve, commit, release, crashes and races."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import PUBLIC, new_ledger

from hanse.errors import Fault, Refusal
from hanse.ledger import Balance, Entry, MemoryStore, Spend, Standing

CONTRACT = "spring-2026"


def no_limit(standing: Standing) -> None:
    """Let everything pass."""


def reserve(
    spend: Spend, job: str, limit: Callable[[Standing], object] = no_limit, **changes: Any
) -> Entry:
    terms: dict[str, Any] = {
        "contract": CONTRACT,
        "period": "2026-07",
        "providers": ["media", "retailer"],
        "epsilon": 1.0,
        "epsilon_join": 0.1,
        **changes,
    }
    return spend.reserve(job, **terms, limit=limit)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Fault) as caught:
        action()
    assert caught.value.remedy
    return caught.value.code


def test_a_reservation_charges_every_provider_the_full_price() -> None:
    spend = Spend(new_ledger())
    entry = reserve(spend, "job-1")
    assert entry.kind == "reserve"
    for provider in ("media", "retailer"):
        assert spend.balance(CONTRACT, "2026-07", provider) == Balance((1.0,), (0.1,))
    assert spend.balance(CONTRACT, "2026-07", "coupons") == Balance()
    assert spend.balance(CONTRACT, "2026-08", "media") == Balance()
    assert spend.balance("autumn-2026", "2026-07", "media") == Balance()
    assert spend.jobs_used(CONTRACT) == 1


def test_a_commit_keeps_the_charge_and_a_release_gives_it_back() -> None:
    spend = Spend(new_ledger())
    reserve(spend, "job-1")
    reserve(spend, "job-2", epsilon=0.5, epsilon_join=0)
    spend.commit("job-1")
    assert spend.balance(CONTRACT, "2026-07", "media") == Balance((1.0, 0.5), (0.1,))
    spend.release("job-2", "a peer was lost")
    assert spend.balance(CONTRACT, "2026-07", "media") == Balance((1.0,), (0.1,))
    assert spend.jobs_used(CONTRACT) == 1
    assert spend.open_jobs() == ()
    states = [(r.job, r.state) for r in map(spend.reservation, ("job-1", "job-2")) if r]
    assert states == [("job-1", "committed"), ("job-2", "released")]


def test_an_alignment_that_seats_may_have_seen_stays_charged() -> None:
    ledger = new_ledger()
    spend = Spend(ledger)
    # Asked, aligned and given up again and again: for nothing, the padding would average out.
    for number in range(3):
        reserve(spend, f"job-{number}")
        spend.release(f"job-{number}", "cancelled", joined=True)
    reserve(spend, "dead")
    assert Spend(ledger).release_dead() == ("dead",)
    for account in (spend, Spend(ledger)):
        assert account.balance(CONTRACT, "2026-07", "media") == Balance((), (0.1,) * 4)
        assert account.jobs_used(CONTRACT) == 0


def test_after_a_commit_nothing_is_refunded() -> None:
    spend = Spend(new_ledger())
    reserve(spend, "job-1")
    spend.commit("job-1")
    assert code_of(lambda: spend.release("job-1")) == "budget.committed"
    assert spend.balance(CONTRACT, "2026-07", "media").recipients == (1.0,)


def test_each_step_happens_once() -> None:
    spend = Spend(new_ledger())
    assert code_of(lambda: spend.commit("job-1")) == "budget.unreserved"
    assert code_of(lambda: spend.release("job-1")) == "budget.unreserved"
    reserve(spend, "job-1")
    assert code_of(lambda: reserve(spend, "job-1")) == "budget.reserved"
    spend.commit("job-1")
    assert code_of(lambda: spend.commit("job-1")) == "budget.committed"
    assert code_of(lambda: reserve(spend, "job-1")) == "budget.reserved"
    reserve(spend, "job-2")
    spend.release("job-2")
    assert code_of(lambda: spend.release("job-2")) == "budget.released"
    assert code_of(lambda: spend.commit("job-2")) == "budget.released"
    assert code_of(lambda: reserve(spend, "job-2")) == "budget.reserved"


def test_a_failed_step_writes_nothing() -> None:
    ledger = new_ledger()
    spend = Spend(ledger)
    code_of(lambda: spend.commit("job-1"))
    reserve(spend, "job-1")
    code_of(lambda: reserve(spend, "job-1"))
    assert [entry.kind for entry in ledger.entries()] == ["reserve"]


def test_a_limit_sees_the_standing_and_its_refusal_charges_nothing() -> None:
    spend = Spend(new_ledger())
    reserve(spend, "job-1")
    seen: list[Standing] = []

    def limit(standing: Standing) -> None:
        seen.append(standing)
        raise Refusal("budget.spent", "no more")

    with pytest.raises(Refusal):
        reserve(spend, "job-2", limit, providers=["media"])
    assert seen == [Standing(1, {"media": Balance((1.0,), (0.1,))})]
    assert spend.reservation("job-2") is None
    assert spend.jobs_used(CONTRACT) == 1


def test_a_limit_may_look_at_other_balances() -> None:
    spend = Spend(new_ledger())
    reserve(spend, "job-1", lambda _: spend.balance(CONTRACT, "2026-06", "media"))
    assert spend.jobs_used(CONTRACT) == 1


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["epsilon", "epsilon_join"])
def test_a_charge_cannot_be_negative_or_no_number(name: str, value: float) -> None:
    spend = Spend(new_ledger())
    with pytest.raises(Fault) as caught:
        reserve(spend, "job-1", **{name: value})
    assert caught.value.code == "budget.epsilon"
    assert spend.jobs_used(CONTRACT) == 0


def test_a_job_that_costs_nothing_still_counts_as_a_job() -> None:
    spend = Spend(new_ledger())
    reserve(spend, "job-1", providers=[], epsilon=0, epsilon_join=0)
    spend.commit("job-1")
    assert spend.jobs_used(CONTRACT) == 1


def test_after_a_crash_dead_reservations_are_released_and_commits_stay() -> None:
    store = MemoryStore()
    spend = Spend(new_ledger(store))
    for job in ("dead", "alive", "committed"):
        reserve(spend, job)
    spend.commit("committed")
    again = Spend(new_ledger(store))
    assert again.release_dead(alive={"alive"}) == ("dead",)
    assert again.balance(CONTRACT, "2026-07", "media").recipients == (1.0, 1.0)
    assert again.open_jobs() == ("alive",)
    assert again.release_dead() == ("alive",)
    assert again.release_dead() == ()
    assert code_of(lambda: again.release("committed")) == "budget.committed"
    # The job that was thought dead wakes up: it must not be able to answer.
    assert code_of(lambda: spend.commit("dead")) == "budget.released"


def test_a_store_that_fails_at_the_commit_leaves_the_job_uncommitted() -> None:
    class FullDisk(MemoryStore):
        full = False

        def append(self, entry: Entry, expected_previous: str) -> None:
            if self.full:
                raise Fault("store.full", "the disk is full")
            super().append(entry, expected_previous)

    store = FullDisk()
    spend = Spend(new_ledger(store))
    reserve(spend, "job-1")
    store.full = True
    assert spend.open_jobs() == ("job-1",)
    with pytest.raises(Fault, match="disk is full"):
        spend.commit("job-1")
    store.full = False
    assert spend.open_jobs() == ("job-1",)
    spend.commit("job-1")
    assert spend.open_jobs() == ()


def one_job_only(standing: Standing) -> None:
    if standing.jobs_used >= 1:
        raise Refusal("contract.exhausted", "one job only")


def try_one(spend: Spend, job: str, start: threading.Barrier, results: list[str]) -> None:
    start.wait()
    try:
        reserve(spend, job, one_job_only)
    except Refusal:
        results.append("refused")
    else:
        results.append("reserved")


@pytest.mark.parametrize("separate", [False, True], ids=["one process", "separate processes"])
def test_racing_jobs_cannot_both_take_the_last_place(separate: bool) -> None:
    for _ in range(10):
        store = MemoryStore()
        shared = Spend(new_ledger(store))
        accounts = [Spend(new_ledger(store)) if separate else shared for _ in range(4)]
        start = threading.Barrier(4)
        results: list[str] = []

        threads = [
            threading.Thread(target=try_one, args=(account, f"job-{number}", start, results))
            for number, account in enumerate(accounts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["refused"] * 3 + ["reserved"]
        assert shared.jobs_used(CONTRACT) == 1


def test_a_limit_is_asked_again_when_another_writer_came_between() -> None:
    store = MemoryStore()
    other = Spend(new_ledger(store))
    asked: list[int] = []

    def limit(standing: Standing) -> None:
        asked.append(standing.jobs_used)
        if len(asked) == 1:
            reserve(other, "theirs")
        one_job_only(standing)

    with pytest.raises(Refusal):
        reserve(Spend(new_ledger(store)), "ours", limit)
    assert asked == [0, 1]
    assert other.reservation("ours") is None


def test_what_another_process_released_cannot_be_committed() -> None:
    store = MemoryStore()
    left, right = Spend(new_ledger(store)), Spend(new_ledger(store))
    reserve(left, "job-1")
    right.release("job-1")
    assert code_of(lambda: left.commit("job-1")) == "budget.released"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("commit", {"job": "never"}),
        ("release", {"job": "job-1"}),
        ("commit", {}),
        ("reserve", {"job": "job-2"}),
        ("reserve", {"job": "job-2", "providers": 5}),
    ],
)
def test_entries_that_contradict_each_other_stop_the_accounts(
    kind: str, body: dict[str, Any]
) -> None:
    ledger = new_ledger()
    spend = Spend(ledger)
    reserve(spend, "job-1")
    spend.commit("job-1")
    ledger.append(kind, body)
    # Twice: an account that cannot be drawn up must not be drawn up the second time either.
    for _ in range(2):
        assert code_of(lambda: reserve(spend, "job-3")) == "ledger.inconsistent"


@dataclass
class Known:
    """The plain twin: one job's state, kept by hand."""

    state: str
    providers: frozenset[str]
    period: str
    epsilon: float


names = st.sampled_from(["a", "b", "c", "d"])
operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("reserve"),
            names,
            st.sets(st.sampled_from(["media", "retailer", "coupons"]), min_size=1),
            st.sampled_from(["2026-07", "2026-08"]),
            st.floats(0.01, 2.0),
        ),
        st.tuples(st.sampled_from(["commit", "release"]), names),
        st.tuples(st.just("crash"), st.sets(names)),
        st.tuples(st.just("note")),
    ),
    max_size=40,
)
LIMIT = 4.0


@settings(max_examples=150, deadline=None)
@given(operations)
def test_days_of_operations_agree_with_a_plain_twin(steps: list[Any]) -> None:
    store = MemoryStore()
    spend = Spend(new_ledger(store))
    twin: dict[str, Known] = {}

    def total(provider: str, period: str) -> float:
        return sum(
            known.epsilon
            for known in twin.values()
            if known.state != "released" and provider in known.providers and known.period == period
        )

    def limit(epsilon: float) -> Callable[[Standing], None]:
        def check(standing: Standing) -> None:
            for balance in standing.spent.values():
                if sum(balance.recipients) + epsilon > LIMIT:
                    raise Refusal("budget.spent", "no more")

        return check

    for step in steps:
        if step[0] == "reserve":
            _, job, providers, period, epsilon = step
            over = any(total(p, period) + epsilon > LIMIT for p in providers)
            try:
                reserve(
                    spend, job, limit(epsilon), providers=providers, period=period, epsilon=epsilon
                )
            except (Fault, Refusal) as error:
                outcome = error.code
            else:
                outcome = ""
            expected = "budget.reserved" if job in twin else "budget.spent" if over else ""
            assert outcome == expected
            if not outcome:
                twin[job] = Known("reserved", frozenset(providers), period, epsilon)
        elif step[0] in ("commit", "release"):
            act = spend.commit if step[0] == "commit" else spend.release
            known = twin.get(step[1])
            if known is not None and known.state == "reserved":
                act(step[1])
                known.state = "committed" if step[0] == "commit" else "released"
            else:
                state = known.state if known else "unreserved"
                assert code_of(partial(act, step[1])) == f"budget.{state}"
        elif step[0] == "crash":
            spend = Spend(new_ledger(store))
            spend.release_dead(alive=step[1])
            for job, known in twin.items():
                if known.state == "reserved" and job not in step[1]:
                    known.state = "released"
        else:
            new_ledger(store).append("note", {"text": "something else happened"})
        for provider in ("media", "retailer", "coupons"):
            for period in ("2026-07", "2026-08"):
                balance = spend.balance(CONTRACT, period, provider)
                assert sum(balance.recipients) == pytest.approx(total(provider, period))
                assert sum(balance.recipients) <= LIMIT
        open_now = {job for job, known in twin.items() if known.state == "reserved"}
        assert set(spend.open_jobs()) == open_now
    assert new_ledger(store).verify(PUBLIC).ok
