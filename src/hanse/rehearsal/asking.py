"""A question's life in a rehearsal: drafted, previewed, admitted by every gate, permitted, run, recorded.

The same order as at a node (`hanse.node.jobs.runner`), with all parties in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse import menu
from hanse.align import Part
from hanse.catalog import RowsReport, read_rows
from hanse.clock import Clock
from hanse.contracts import Bundle, JobRequest, Library, permitting_parties
from hanse.contracts.requests import providers_of
from hanse.entropy import Entropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.ledger import Answer as Recorded
from hanse.node.faces.preview import preview_of
from hanse.node.jobs.roles import Job, request_for
from hanse.node.jobs.rosters import Keeper, all_ids, newest
from hanse.rehearsal.agreement import Budget, Member
from hanse.rehearsal.answer import Answer, Disclosures
from hanse.rehearsal.description import Described
from hanse.rehearsal.plain import plain_tables
from hanse.rehearsal.running import Desk, Ran, run
from hanse.rehearsal.tables import Spool
from hanse.wire import Tap


@dataclass(frozen=True)
class Question:
    """What is asked, by whom, for whom, for the how-manieth time in this rehearsal."""

    computation: str
    parameters: dict[str, Any]
    epsilon: float
    analyst: str
    recipients: tuple[str, ...]
    attempt: int
    roster: str = ""


@dataclass(frozen=True)
class World:
    """All that a question meets."""

    bundle: Bundle
    members: Mapping[str, Member]
    datasets: Mapping[str, Described]
    spool: Spool
    clock: Clock
    entropy: Callable[[str], Entropy]
    tap: Tap | None
    patience: float
    progress: Callable[[str, str, float], None]
    library: Library = field(default_factory=Library)


def ask(
    world: World, question: Question, earlier: Mapping[str, Answer[Any]], *, noise: bool
) -> Answer[Any]:
    """The answer, or the first refusal or failure of any party. ``earlier`` are answers by job."""
    contract = world.bundle.contract
    entry = menu.entry(question.computation)
    plan = entry.planned(question.parameters, contract, question.epsilon, True, world.library)
    request = _prepared(world, question, plan)
    _preview(world, request, plan, budget=False)  # a recorded answer costs nothing
    providers = providers_of(contract, request)
    before = _accounts(world, providers)
    if noise:
        known = _recorded(world, request)
        if known is not None and known.job in earlier:
            nothing = Disclosures((), before, before)
            return replace(
                earlier[known.job], disclosures=nothing, messages=(), seconds=0.0, recorded=True
            )
    _preview(world, request, plan)
    # Admission, price and permits are those of the noised job; only what is run differs.
    shown = plan
    if not noise:
        shown = entry.planned(question.parameters, contract, question.epsilon, False, world.library)
    job = Job(request, contract, entry, shown)
    reports: dict[str, RowsReport] = {}
    ran = _attempt(world, job, plan, question.attempt, reports, keep=noise)
    if ran.record is None or ran.result is None or ran.opened is None:
        raise Fault("rehearsal.internal", "the job ended without a result")
    return Answer(
        result=ran.result,
        values=ran.opened.values,
        job=job,
        disclosures=Disclosures(ran.record.openings, before, _accounts(world, providers)),
        messages=tuple(ran.messages),
        meters=ran.meters,
        reports=reports,
        noise=noise,
        seconds=ran.seconds,
        recorded=False,
        _exact=_exact(world, job, question),
        _library=world.library,
    )


def preview(world: World, question: Question) -> dict[str, Any]:
    """What the question would cost and show, or the first refusal of asker and providers."""
    contract = world.bundle.contract
    entry = menu.entry(question.computation)
    plan = entry.planned(question.parameters, contract, question.epsilon, True, world.library)
    request = _prepared(world, question, plan)
    _preview(world, request, plan)
    gate = member_of(world, question.analyst).gate(world.bundle)
    grant = gate.preview(request, plan)
    # An asker that gives no data and holds no seat has no record: the first provider's says more.
    owner = member_of(world, providers_of(contract, request)[0]).gate(world.bundle)
    similar = {**owner.similar(request), **gate.similar(request)}
    return preview_of(contract, grant, plan.release, similar)


def _recorded(world: World, request: JobRequest) -> Recorded | None:
    """The asker's recorded answer; that of all recipients, if it is none of them."""
    asker = (request.analyst,)
    holders = asker if request.analyst in request.recipients else request.recipients
    found = [member_of(world, party).gate(world.bundle).recorded(request) for party in holders]
    return None if None in found else found[0]


# --- asking ---------------------------------------------------------------------------------------


def _prepared(world: World, question: Question, plan: Any) -> JobRequest:
    """The request with the providers' commitments."""
    nonce = world.entropy(f"{question.attempt}|nonce").take(16).hex()
    draft = request_of(world, question, plan, nonce, {})
    commitments = {}
    for name in draft.datasets:
        found = world.datasets[name]
        with named(found.provider):
            commitments[name] = world.members[found.provider].commitment(found.dataset)
    return request_of(world, question, plan, nonce, commitments)


def _preview(world: World, request: JobRequest, plan: Any, *, budget: bool = True) -> None:
    """The first refusal of asker and providers, with or without a look at the budget."""
    for party in dict.fromkeys((request.analyst, *providers_of(world.bundle.contract, request))):
        with named(party):
            member_of(world, party).gate(world.bundle).preview(request, plan, budget=budget)


def request_of(
    world: World, question: Question, plan: Any, nonce: str, commitments: dict[str, str]
) -> JobRequest:
    """The job that a question amounts to, as a node drafts it."""
    known = None
    if question.roster:
        asker = member_of(world, question.analyst)
        known = newest(asker.rosters, world.bundle.contract, question.roster)
    return request_for(
        world.bundle.contract,
        plan,
        computation=question.computation,
        parameters=question.parameters,
        analyst=question.analyst,
        epsilon=question.epsilon,
        recipients=question.recipients,
        attempt=question.attempt,
        created=world.clock.now(),
        nonce=nonce,
        commitments=commitments,
        roster=question.roster,
        roster_job="" if known is None else known.job,
    )


def member_of(world: World, party: str) -> Member:
    found = world.members.get(party)
    if found is None:
        raise Refusal("rehearsal.party", f"there is no party {party!r} in this federation",
                      remedy="use one of " + ", ".join(world.members))  # fmt: skip
    return found


def _accounts(world: World, providers: tuple[str, ...]) -> tuple[Budget, ...]:
    contract = world.bundle.contract
    return tuple(b for p in providers for b in world.members[p].budgets(contract))


@contextmanager
def named(party: str) -> Iterator[None]:
    """Errors inside are this party's."""
    try:
        yield
    except HanseError as error:
        error.where = f"{party}: {error.where}" if error.where else party
        raise


# --- running --------------------------------------------------------------------------------------


def _attempt(
    world: World, job: Job, priced: Any, number: int, reports: dict[str, RowsReport], *, keep: bool
) -> Ran:
    """Admit, permit, run, record. What was reserved is given back if it stops before the commit."""
    request = job.request
    permitting = permitting_parties(job.contract, request)
    parties = sorted({*permitting, *request.recipients})
    desks: dict[str, Desk] = {}
    gates = {p: member_of(world, p).gate(world.bundle) for p in parties}
    try:
        for party, gate in gates.items():
            with named(party):
                (gate.admit if party in permitting else gate.preview)(request, priced)
        permits = [gates[party].permit(request) for party in permitting]
        for party, gate in gates.items():
            with named(party):
                gate.require_permits(request, permits)
        desks = {
            party: Desk(
                gate, _rows(world, party, reports), party in permitting, _keeper(world, job, party)
            )
            for party, gate in gates.items()
        }
        ran = run(
            job, desks, lambda role: world.entropy(f"{number}|{role}"),
            tap=world.tap, patience=world.patience, progress=world.progress,
        )  # fmt: skip
    except BaseException as error:
        stopped = error if isinstance(error, HanseError) else Fault("rehearsal.interrupted", "")
        end_of(world, job, parties, stopped, {p for p, desk in desks.items() if desk.joined})
        raise
    if request.roster and not request.roster_job:  # those who only asked or read remember it, too
        for party in {request.analyst, *request.recipients}:
            _keeper(world, job, party).keep(job.contract, request, job.plan.capacities)
    if keep:
        for party in request.recipients:
            gates[party].record_answer(request, ran.opened.outputs() if ran.opened else ())
    end_of(world, job, parties, None)
    return ran


def end_of(
    world: World, job: Job, parties: list[str], error: HanseError | None,
    joined: Collection[str] = (),
) -> None:  # fmt: skip
    """Close the books of every party, as a node does at a job's end."""
    request = job.request
    state = "done" if error is None else "refused" if isinstance(error, Refusal) else "failed"
    for party in parties:
        member = world.members[party]
        if error is not None:
            member.gate(world.bundle).abandon(request, error, joined=party in joined)
        spent = any(
            entry.body["job"] == request.job_hash for entry in member.ledger.entries("commit")
        )
        member.ledger.append(
            "job",
            {"job": request.job_hash, "state": state, "spent": spent, "analyst": request.analyst,
             "computation": request.computation, "error": "" if error is None else error.code},
        )  # fmt: skip


def _rows(world: World, party: str, reports: dict[str, RowsReport]) -> Callable[[Job], list[Part]]:
    """A party's people for a job; what became of its rows goes into ``reports``."""

    def read(dataset: Any, request: Any) -> Any:
        people = read_rows(dataset, request)
        reports[dataset.name] = people.report
        return people

    def rows(job: Job) -> list[Part]:
        used = [world.datasets[n] for n in job.request.datasets]
        datasets = {d.dataset.name: d.dataset for d in used if d.provider == party}
        parts: list[Part] = job.entry.rows(job.plan, job.contract, party, datasets, read)
        return parts

    return rows


def _keeper(world: World, job: Job, party: str) -> Keeper:
    """A party's rosters, as a job's roles use them."""

    def everybody() -> list[NDArray[np.uint64]]:
        used = [world.datasets[n] for n in job.request.datasets]
        datasets = {d.dataset.name: d.dataset for d in used if d.provider == party}
        return all_ids(job.contract, job.request, datasets, read_rows)

    member = member_of(world, party)
    return Keeper(party, member.rosters, world.clock, everybody, lambda _line: None)


def _exact(world: World, job: Job, question: Question) -> Callable[[], NDArray[np.int64]]:
    """The plain answer, computed when it is first asked for."""
    datasets = {name: world.datasets[name].dataset for name in job.request.datasets}

    # Tables given in memory lie in files of the spool, which must not vanish before this answer.
    @cache
    def exact(_files: Spool = world.spool) -> NDArray[np.int64]:
        plan = job.entry.planned(
            question.parameters, job.contract, question.epsilon, False, world.library
        )
        return job.entry.twin(plan, plain_tables(job.contract, datasets), job.contract)

    return exact
