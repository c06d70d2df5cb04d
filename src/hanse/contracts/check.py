"""The decision: does this contract, given what has happened so far, allow this job?

A pure function of (bundle, request, history, now), so that every node decides by itself and two
nodes with equal records decide alike. Every clause has its own code.

    contract.signature   contract.unsigned     contract.hash
    contract.not-started contract.expired      contract.suspended   contract.exhausted
    contract.analyst     contract.computation  contract.recipient
    contract.dataset     contract.column       contract.purpose     contract.value
    contract.noise       contract.epsilon      contract.join
    roster.forbidden     roster.unknown        roster.expired       roster.layout
    budget.spent         budget.join           guard.similar
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hanse.contracts.accounting import Spend, composed, fits, largest_next, period_of
from hanse.contracts.crowds import CROWD_JOBS, check_crowd
from hanse.contracts.model_check import MODEL_JOBS, ModelNote, check_model
from hanse.contracts.requests import JobRequest, providers_of
from hanse.contracts.rosters import RosterNote, check_allowed, check_held
from hanse.contracts.signatures import Bundle
from hanse.contracts.similarity import Sketch, check_similar
from hanse.contracts.terms import Column, Computation, Contract
from hanse.errors import Fault, Refusal

MAX_VALUES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class History:
    """What the checking node's own ledger says about the contract so far.

    ``spent`` is for the period of the decision's day (`period_of`), by provider; ``jobs_used``
    counts jobs that are reserved or committed over the contract's whole life; ``asked`` are the questions of the
    period's jobs, by job. ``holder`` is the checking party, if it must hold a part of the roster that the job
    uses, and ``roster`` what it holds of it. ``trainings`` counts those of the model that a job is about, over the
    contract's whole life; ``model`` is what ``holder`` holds of it.
    """

    jobs_used: int = 0
    spent: Mapping[str, Spend] = field(default_factory=dict)
    suspended: bool = False
    holder: str = ""
    roster: RosterNote | None = None
    asked: Mapping[str, Sketch] = field(default_factory=dict)
    trainings: int = 0
    model: ModelNote | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A provider's account after the job, as composed epsilons, with what they may reach."""

    recipients: float
    recipients_budget: float
    seats: float
    seats_budget: float
    both: float


@dataclass(frozen=True, slots=True)
class Grant:
    """The contract allows the job, under these conditions, at this price."""

    contract_id: str
    contract_hash: str
    job_hash: str
    computation: str
    recipients: tuple[str, ...]
    providers: tuple[str, ...]
    period: str
    k: int
    noise: bool
    epsilon: float
    epsilon_join: float
    delta: float
    delta_join: float
    after: Mapping[str, Account]

    @property
    def charged(self) -> tuple[str, ...]:
        """Providers whose accounts are debited: all of the job's, or none if nothing is spent."""
        return self.providers if self.epsilon > 0 or self.epsilon_join > 0 else ()


def check(bundle: Bundle, request: JobRequest, history: History, now: datetime) -> Grant:
    """The `Grant` for this job, or a `Refusal` whose code names the clause (see the module)."""
    if now.tzinfo is None:
        raise Fault("clock.naive", "a time without a time zone was given", remedy="pass UTC")
    contract = bundle.contract
    bundle.verify_all()
    _check_version(contract, request)
    _check_life(contract, history, now)
    if request.computation in MODEL_JOBS:
        _check_analyst(contract, request)
        check_model(
            contract, request, trainings=history.trainings, holder=history.holder,
            note=history.model, now=now,
        )  # fmt: skip
    elif request.computation in CROWD_JOBS:
        _check_analyst(contract, request)
        check_crowd(contract, request, trainings=history.trainings)
    else:
        computation = _check_roles(contract, request)
        _check_uses(contract, computation, request)
        check_allowed(contract, request)
        if history.holder:
            check_held(contract, request, history.roster, now, party=history.holder)
        _check_price(contract, request)
        check_similar(contract, request, history.asked)
    return Grant(
        contract_id=contract.id,
        contract_hash=contract.hash,
        job_hash=request.job_hash,
        computation=request.computation,
        recipients=tuple(sorted(request.recipients)),
        providers=providers_of(contract, request),
        period=period_of(contract.privacy.period, now),
        k=contract.privacy.k,
        noise=request.noise,
        epsilon=request.epsilon,
        epsilon_join=request.epsilon_join,
        delta=contract.privacy.delta,
        delta_join=contract.join.delta,
        after=_check_budgets(contract, request, history),
    )


def check_value(column: Column, value: object) -> None:
    """Return only if jobs may compare ``column`` with ``value``.

    Raises `Refusal` ``contract.value``. Times are not checked here: their form is the
    computation's own. Numbers must lie in [0, maximum], since nothing else can occur.
    """
    if column.kind == "category":
        if value in column.values:
            return
        shown = ", ".join(repr(item) for item in column.values[:MAX_VALUES_SHOWN])
        more = len(column.values) - MAX_VALUES_SHOWN
        allowed = "one of " + shown + (f" and {more} more" if more > 0 else "")
    elif column.kind == "boolean":
        if isinstance(value, bool):
            return
        allowed = "true or false"
    elif column.maximum is not None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and 0 <= value <= column.maximum:  # type: ignore[operator]
            return
        allowed = f"a number from 0 to {column.maximum}"
    else:
        return
    raise Refusal(
        "contract.value",
        f"a value asked for in column {column.name!r} is not in the contract",
        remedy=f"use {allowed}",
        where=f"column {column.name}",
    )


def _refusal(contract: Contract, clause: str, message: str, remedy: str, at: str = "") -> Refusal:
    where = f"contract {contract.id}" + (f", {at}" if at else "")
    code = clause if "." in clause else f"contract.{clause}"
    return Refusal(code, message, remedy=remedy, where=where)


def _check_version(contract: Contract, request: JobRequest) -> None:
    if request.contract_id != contract.id:
        raise _refusal(
            contract,
            "hash",
            f"the request is for contract {request.contract_id!r}, not {contract.id!r}",
            "send it to the parties of that contract",
        )
    if request.contract_hash != contract.hash:
        raise _refusal(
            contract,
            "hash",
            f"the request refers to another text than version {contract.version} held here",
            "exchange the signed bundle so that all parties hold the same version, and ask again",
        )


def _check_life(contract: Contract, history: History, now: datetime) -> None:
    today = now.astimezone(UTC).date()
    if today < contract.starts:
        raise _refusal(
            contract,
            "not-started",
            f"the contract starts on {contract.starts}",
            "wait until then, or agree on a version that starts earlier",
        )
    if today >= contract.expires:
        last = contract.expires - timedelta(days=1)
        raise _refusal(
            contract,
            "expired",
            f"the contract's last day was {last}",
            "agree on a new version with a later end",
        )
    if history.suspended:
        raise _refusal(
            contract,
            "suspended",
            "the contract is suspended here",
            "ask this party why, and to resume it",
        )
    if history.jobs_used >= contract.maximum_jobs:
        raise _refusal(
            contract,
            "exhausted",
            f"all {contract.maximum_jobs} jobs of the contract are used",
            "agree on a new version with a larger maximum_jobs",
        )


def _check_analyst(contract: Contract, request: JobRequest) -> None:
    if contract.party(request.analyst) is None:
        raise _refusal(
            contract,
            "analyst",
            f"{request.analyst!r} is not a party to the contract",
            "ask as one of " + _names(party.name for party in contract.parties),
        )


def _check_roles(contract: Contract, request: JobRequest) -> Computation:
    _check_analyst(contract, request)
    computation = contract.computation(request.computation)
    if computation is None:
        raise _refusal(
            contract,
            "computation",
            f"the contract does not allow the computation {request.computation!r}",
            "ask for one of " + _names(item.name for item in contract.computations),
        )
    strangers = sorted(set(request.recipients) - set(computation.recipients))
    if strangers:
        raise _refusal(
            contract,
            "recipient",
            f"{_names(strangers)} may not learn the result of {computation.name!r}",
            "name only " + _names(computation.recipients),
            f"computation {computation.name}",
        )
    return computation


def _check_uses(contract: Contract, computation: Computation, request: JobRequest) -> None:
    for use in request.uses:
        dataset = contract.dataset(use.dataset)
        if dataset is None or dataset.name not in computation.datasets:
            raise _refusal(
                contract,
                "dataset",
                f"{computation.name!r} may not use a dataset {use.dataset!r}",
                "use only " + _names(computation.datasets),
                f"dataset {use.dataset}",
            )
        if use.purpose == "membership":
            continue
        at = f"dataset {use.dataset}, column {use.column}"
        column = dataset.column(use.column)
        if column is None:
            raise _refusal(
                contract,
                "column",
                f"dataset {use.dataset!r} gives no column {use.column!r}",
                "use only " + _names(item.name for item in dataset.columns),
                at,
            )
        if use.purpose not in column.uses:
            raise _refusal(
                contract,
                "purpose",
                f"column {use.column!r} of {use.dataset!r} may not be used for: {use.purpose}",
                "use it only for: " + _names(column.uses),
                at,
            )


def _check_price(contract: Contract, request: JobRequest) -> None:
    personal = [
        dataset
        for dataset in (contract.dataset(name) for name in request.datasets)
        if dataset is not None and dataset.personal
    ]
    if not request.noise and personal:
        raise _refusal(
            contract,
            "noise",
            f"dataset {personal[0].name!r} is about people, so its results must carry noise",
            "ask with noise, and an epsilon",
            f"dataset {personal[0].name}",
        )
    if not request.noise and (request.epsilon != 0 or request.epsilon_join != 0):
        raise _refusal(
            contract,
            "noise",
            "a job without noise cannot spend epsilon",
            "set epsilon and epsilon_join to 0, or ask with noise",
        )
    cap = contract.privacy.epsilon_per_query
    if request.noise and not 0 < request.epsilon <= cap:
        raise _refusal(
            contract,
            "epsilon",
            f"a query must spend an epsilon above 0 and at most {cap:g}, not {request.epsilon:g}",
            f"ask with an epsilon of at most {cap:g}",
        )
    if not 0 <= request.epsilon_join <= contract.join.epsilon:
        raise _refusal(
            contract,
            "join",
            f"an alignment may spend an epsilon of at most {contract.join.epsilon:g} towards the "
            f"seats, not {request.epsilon_join:g}",
            f"ask with an epsilon_join of at most {contract.join.epsilon:g}",
        )
    # With two or more providers of people, somebody's rows are matched under the seats' eyes, unless they
    # were matched, and paid for, in the job that made the roster.
    matched = len({dataset.provider for dataset in personal}) > 1 and not request.roster_job
    if matched and request.epsilon_join == 0:
        raise _refusal(
            contract,
            "join",
            "matching people of several providers needs padding, hence an epsilon_join above 0",
            f"ask with an epsilon_join of at most {contract.join.epsilon:g}",
        )


def _check_budgets(contract: Contract, request: JobRequest, history: History) -> dict[str, Account]:
    privacy, join = contract.privacy, contract.join
    after = {}
    for provider in providers_of(contract, request):
        spent = history.spent.get(provider, Spend())
        recipients = (*spent.recipients, *_charge(request.epsilon))
        seats = (*spent.seats, *_charge(request.epsilon_join))
        if request.epsilon > 0 and not fits(recipients, privacy.epsilon_budget, privacy.delta):
            left = largest_next(spent.recipients, privacy.epsilon_budget, privacy.delta)
            raise _refusal(
                contract,
                "budget.spent",
                f"the privacy budget of {provider}'s people towards recipients "
                f"({privacy.epsilon_budget:g} per {privacy.period}) does not allow epsilon "
                f"{request.epsilon:g} more",
                _afford(left, "epsilon", privacy.period),
                f"provider {provider}",
            )
        if request.epsilon_join > 0 and not fits(seats, join.epsilon_budget, join.delta):
            left = largest_next(spent.seats, join.epsilon_budget, join.delta)
            raise _refusal(
                contract,
                "budget.join",
                f"the privacy budget of {provider}'s people towards the seats "
                f"({join.epsilon_budget:g} per {privacy.period}) does not allow epsilon "
                f"{request.epsilon_join:g} more",
                _afford(left, "epsilon_join", privacy.period),
                f"provider {provider}",
            )
        after[provider] = Account(
            recipients=composed(recipients, privacy.delta),
            recipients_budget=privacy.epsilon_budget,
            seats=composed(seats, join.delta),
            seats_budget=join.epsilon_budget,
            # A party that is both seat and recipient sees both, so people are told the sum.
            both=composed((*recipients, *seats), min(privacy.delta, join.delta)),
        )
    return after


def _charge(epsilon: float) -> tuple[float, ...]:
    return (epsilon,) if epsilon > 0 else ()


def _afford(left: float, name: str, period: str) -> str:
    wait = "wait for the next month, " if period == "month" else ""
    # Rounded down, so that what the sentence promises is granted.
    usable = int(left * 1000) / 1000
    if usable > 0:
        return f"ask with {name} {usable:g} or less, {wait}or agree on a larger budget"
    return f"{wait}look for the same question's recorded answer, or agree on a larger budget"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
