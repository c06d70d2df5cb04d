"""Privacy budgets, derived from the ledger's own entries: reserved, committed, released.

A job's price is reserved when it is admitted and committed before its first output leaves. From
then on nothing is refunded, whatever fails: a seat that has read its share could otherwise crash
and ask again with fresh noise. A job that stops earlier is released. After a crash, what was
reserved by jobs that are no longer running is released and what was committed stays.

Nothing is stored but the entries, so the account and the evidence cannot disagree.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hanse.errors import Fault
from hanse.ledger.chain import MAX_ATTEMPTS, Ledger, StaleHeadError, contended
from hanse.ledger.entries import Entry

State = Literal["reserved", "committed", "released"]

_KIND_OF: Mapping[str, State] = {
    "reserve": "reserved",
    "commit": "committed",
    "release": "released",
}


@dataclass(frozen=True, slots=True)
class Balance:
    """Epsilons charged to one provider in one period, reserved ones included, oldest first."""

    recipients: tuple[float, ...] = ()
    seats: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says about a contract before a new reservation.

    ``jobs_used`` counts reserved and committed jobs of the contract's whole life; ``spent`` is for
    the reservation's period, with one entry per provider that the reservation names; ``asked`` holds what
    those of the period's jobs asked that noted it, by job; ``trainings`` counts those of the model named.
    """

    jobs_used: int
    spent: Mapping[str, Balance]
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trainings: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """One job's price and what became of it. ``joined``: seats may have seen an alignment before its release.

    ``model`` is the model that it trains, "" if none, and ``trainings`` how often.
    """

    job: str
    contract: str
    period: str
    providers: tuple[str, ...]
    epsilon: float
    epsilon_join: float
    state: State
    asked: Mapping[str, Any] | None = None
    joined: bool = False
    model: str = ""
    trainings: int = 1


class Spend:
    """The accounts of one node. Thread-safe, and safe beside other processes on the same store.

    ``contract`` is the contract's id, not its hash: a new version does not refill the budget.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Re-entrant, so that a limit may look at balances.
        self._lock = threading.RLock()
        self._jobs: dict[str, Reservation] = {}
        self._head: Entry | None = None

    def reserve(
        self,
        job: str,
        *,
        contract: str,
        period: str,
        providers: Iterable[str],
        epsilon: float,
        epsilon_join: float,
        limit: Callable[[Standing], object],
        asked: Mapping[str, Any] | None = None,
        model: str = "",
        trainings: int = 1,
    ) -> Entry:
        """Charge the full price to each provider, if ``limit`` lets it.

        ``asked`` says what was asked, in a form that may stay; ``model`` which model it trains, if
        any, as ``trainings`` trainings. ``limit`` is shown the standing before the
        charge and raises to refuse; it is called again if another writer came between. It must not write to the
        ledger. Raises `Fault` ``budget.reserved`` for a job that the ledger knows already, also a released one:
        a rerun is a new attempt with a new hash.
        """
        names = tuple(sorted(set(providers)))
        for value in (epsilon, epsilon_join):
            if not (math.isfinite(value) and value >= 0):
                raise Fault("budget.epsilon", "an epsilon to reserve is not a number >= 0")
        body = {
            "job": job,
            "contract": contract,
            "period": period,
            "providers": list(names),
            "epsilon": float(epsilon),
            "epsilon_join": float(epsilon_join),
        }
        if asked is not None:
            body["asked"] = dict(asked)
        if model:
            body["model"] = model
            if trainings != 1:
                body["trainings"] = trainings

        def allowed() -> None:
            if job in self._jobs:
                raise _wrong("reserved", job, "has been reserved before")
            spent = {name: self._balance(contract, period, name) for name in names}
            used, trained = self._used(contract), self._trained(contract, model)
            limit(Standing(used, spent, self._asked(contract, period), trained))

        return self._decide("reserve", body, allowed)

    def commit(self, job: str) -> Entry:
        """Make the charge final. When this returns, outputs may leave; before, they may not.

        Raises `Fault` ``budget.unreserved``, ``budget.committed`` or ``budget.released`` if the job
        is not in the state reserved: then no output may leave.
        """
        return self._decide("commit", {"job": job}, lambda: self._must_be_reserved(job))

    def release(self, job: str, reason: str = "", *, joined: bool = False) -> Entry:
        """Give back the charge of a job that stopped before its commit. Raises as `commit` does.

        With ``joined`` the price towards seats stays: they may have seen how many people providers share, and
        whoever could ask again for nothing would average the padding away.
        """
        body = {"job": job, "reason": reason} | ({"joined": True} if joined else {})
        return self._decide("release", body, lambda: self._must_be_reserved(job))

    def release_dead(self, alive: Collection[str] = ()) -> tuple[str, ...]:
        """After a restart: release what jobs not in ``alive`` had reserved. Returns those jobs."""
        dead = [job for job in self.open_jobs() if job not in alive]
        for job in dead:
            self.release(job, "the node stopped before the job's commit", joined=True)
        return tuple(dead)

    def open_jobs(self) -> tuple[str, ...]:
        """Jobs that are reserved and neither committed nor released, oldest first."""
        with self._lock:
            self._refresh()
            return tuple(job for job, r in self._jobs.items() if r.state == "reserved")

    def reservation(self, job: str) -> Reservation | None:
        """The job's price and state, if it was ever reserved."""
        with self._lock:
            self._refresh()
            return self._jobs.get(job)

    def balance(self, contract: str, period: str, provider: str) -> Balance:
        """All that is committed or reserved for one provider in one period."""
        with self._lock:
            self._refresh()
            return self._balance(contract, period, provider)

    def jobs_used(self, contract: str) -> int:
        """Jobs of the contract that are committed or reserved, over its whole life."""
        with self._lock:
            self._refresh()
            return self._used(contract)

    def jobs_used_by_contract(self) -> Mapping[str, int]:
        """`jobs_used` of every contract that has any."""
        with self._lock:
            self._refresh()
            return Counter(r.contract for r in self._jobs.values() if r.state != "released")

    def trainings(self, contract: str, model: str) -> int:
        """Trainings of a model that are committed or reserved, over the contract's whole life."""
        with self._lock:
            self._refresh()
            return self._trained(contract, model)

    def trained(self, contract: str = "") -> tuple[Reservation, ...]:
        """Committed jobs that count as trainings of a model, of one contract or of all, oldest first."""
        with self._lock:
            self._refresh()
            return tuple(
                r for r in self._jobs.values()
                if r.model and r.state == "committed" and contract in ("", r.contract)
            )  # fmt: skip

    def _trained(self, contract: str, model: str) -> int:
        mine = [r for r in self._charged(contract) if r.model == model] if model else []
        return sum(r.trainings for r in mine)

    def _decide(self, kind: str, body: Mapping[str, Any], allowed: Callable[[], None]) -> Entry:
        """Append if ``allowed`` does not raise on exactly the state that the entry will follow."""
        with self._lock:
            for _ in range(MAX_ATTEMPTS):
                self._refresh()
                allowed()
                try:
                    entry = self._ledger.append_after(self._head, kind, body)
                except StaleHeadError:
                    continue
                self._apply(entry)
                return entry
        raise contended()

    def _refresh(self) -> None:
        """Take in what other writers have added since we last looked."""
        for entry in self._ledger.entries(since=self._head.sequence + 1 if self._head else 0):
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        state = _KIND_OF.get(entry.kind)
        if state is not None:
            job = str(entry.body.get("job", ""))
            before = self._jobs.get(job)
            try:
                self._jobs[job] = _follow(before, state, entry.body)
            except (KeyError, TypeError, ValueError) as error:
                # The head stays before this entry, so no account is drawn up past it.
                raise Fault(
                    "ledger.inconsistent",
                    f"ledger entry {entry.sequence} ({entry.kind}) contradicts an earlier one",
                    remedy="run `hanse ledger verify`; restore the store from a backup if it fails",
                    where=f"job {job[:16]}",
                ) from error
        self._head = entry

    def _must_be_reserved(self, job: str) -> None:
        known = self._jobs.get(job)
        if known is None:
            raise _wrong("unreserved", job, "was never reserved")
        if known.state != "reserved":
            raise _wrong(known.state, job, f"is {known.state} already")

    def _balance(self, contract: str, period: str, provider: str) -> Balance:
        jobs = [
            r for r in self._jobs.values()
            if (r.contract, r.period) == (contract, period) and provider in r.providers
        ]  # fmt: skip
        charged = [r for r in jobs if r.state != "released"]
        seen = [r for r in jobs if r.joined or r.state != "released"]
        return Balance(
            recipients=tuple(r.epsilon for r in charged if r.epsilon > 0),
            seats=tuple(r.epsilon_join for r in seen if r.epsilon_join > 0),
        )

    def asked(self, contract: str, period: str) -> Mapping[str, Mapping[str, Any]]:
        """What the period's committed or reserved jobs asked, by job, oldest first."""
        with self._lock:
            self._refresh()
            return self._asked(contract, period)

    def _asked(self, contract: str, period: str) -> Mapping[str, Mapping[str, Any]]:
        return {
            r.job: r.asked
            for r in self._charged(contract)
            if r.period == period and r.asked is not None
        }

    def _used(self, contract: str) -> int:
        return len(self._charged(contract))

    def _charged(self, contract: str) -> list[Reservation]:
        return [r for r in self._jobs.values() if r.contract == contract and r.state != "released"]


def _follow(before: Reservation | None, state: State, body: Mapping[str, Any]) -> Reservation:
    """The reservation after an entry; `ValueError` for a step that cannot happen."""
    if state == "reserved":
        if before is not None:
            raise ValueError("reserved twice")
        return Reservation(**{**body, "providers": tuple(body["providers"])}, state=state)
    if before is None or before.state != "reserved":
        raise ValueError("not reserved")
    return replace(before, state=state, joined=bool(body.get("joined")))


def _wrong(state: str, job: str, what: str) -> Fault:
    return Fault(
        f"budget.{state}",
        f"the budget of job {job[:16]} {what}",
        remedy="start the job again as a new attempt",
        where=f"job {job[:16]}",
    )
