"""Whether a contract's clause about a model allows a training or scoring, and whether a party holds its part.

Pure, like the rest of the room. Clauses of their own, all named in ``where``:

    model.unknown     model.authorisation  model.column     model.recipient  model.trainings
    model.contributions
    model.scores      model.online         model.price      model.missing    model.expired    model.changed
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from hanse.contracts.models import (
    CONTRIBUTIONS,
    LINEAR_KINDS,
    MODEL_JOBS,
    SCORE,
    SCORE_ONE,
    TRAIN,
    ModelClause,
    is_personal,
    parties_of,
)
from hanse.errors import Refusal

if TYPE_CHECKING:
    from hanse.contracts.requests import JobRequest
    from hanse.contracts.terms import Contract

__all__ = [
    "MODEL_JOBS",
    "ModelNote",
    "check_held_model",
    "check_model",
    "clause_called",
    "clause_of",
    "expiry_of",
    "trainings_of",
]


@dataclass(frozen=True, slots=True)
class ModelNote:
    """What a party holds of a model: for the decision whether it may be used. Nothing in it is secret."""

    name: str
    job: str  # the training that made it, and the model's id
    contract: str  # id
    clause: str  # `ModelClause.digest`
    made: datetime
    expires: datetime
    state: str  # "held", "deleted"


def expiry_of(contract: Contract, clause: ModelClause, made: datetime) -> datetime:
    """When a model that is made now ends: no model outlives its contract."""
    over = datetime.combine(contract.expires, time(), UTC)
    return min(over, made.astimezone(UTC) + timedelta(days=clause.expiry_days))


def clause_of(contract: Contract, request: JobRequest) -> ModelClause:
    """The clause that a model job is about; `Refusal` ``model.unknown``."""
    return clause_called(contract, str(request.parameters.get("model", "")))


def clause_called(contract: Contract, name: str) -> ModelClause:
    """The clause called ``name``; `Refusal` ``model.unknown`` naming those there are."""
    found = contract.model(name)
    if found is None:
        known = ", ".join(m.name for m in contract.models) or "none"
        raise Refusal(
            "model.unknown",
            f"the contract allows no model {name[:64]!r}",
            remedy=f"ask for one of those in its [[models]] ({known})",
            where=f"contract {contract.id}",
        )
    return found


def check_model(
    contract: Contract, request: JobRequest, *, trainings: int, holder: str,
    note: ModelNote | None, now: datetime,
) -> None:  # fmt: skip
    """Return only if the clause allows this training or scoring.

    ``trainings`` were counted before, over the contract's whole life. ``holder`` is the checking party if it must
    hold a part of the model, and ``note`` what it holds.
    """
    clause = clause_of(contract, request)
    _check_people(contract, clause)
    _check_uses(contract, clause, request)
    _check_price(contract, clause, request)
    if request.computation == TRAIN:
        allowed = {*clause.told(contract), *clause.p_values, *clause.metrics}
        _check_recipients(contract, clause, request, allowed, "metrics")
        if trainings >= clause.maximum_trainings:
            raise _refused(
                contract, clause, "trainings", "maximum_trainings",
                f"all {clause.maximum_trainings} trainings of {clause.name!r} are used",
                "score with a model that was trained, or agree on a larger maximum_trainings",
            )  # fmt: skip
        return
    if request.computation == CONTRIBUTIONS:
        _check_contributions(contract, clause, request, trainings)
        return
    if len(request.recipients) != 1:
        raise _refused(contract, clause, "recipient", "scores", "scores go to exactly one party",
                       "ask for one recipient")  # fmt: skip
    if not clause.scores:
        raise _refused(
            contract, clause, "scores", "scores", f"nobody may receive scores of {clause.name!r}",
            "agree on a contract that names who may",
        )  # fmt: skip
    _check_recipients(contract, clause, request, clause.scores, "scores")
    if request.computation == SCORE_ONE:
        if clause.online == "no":
            raise _refused(
                contract, clause, "online", "online",
                f"{clause.name!r} may not be asked for one row at a time",
                'score in batches, or agree on online = "hidden" or "open-query"',
            )  # fmt: skip
        if request.analyst not in request.recipients:
            raise _refused(contract, clause, "recipient", "scores",
                           "who asks about one row must be who reads its score",
                           "ask in the receiver's own name")  # fmt: skip
    if holder:
        check_held_model(contract, clause, request, note, now, party=holder)


def trainings_of(contract: Contract, request: JobRequest) -> int:
    """How many of a model's trainings a job uses: one, or one for every coalition of its parties."""
    if request.computation != CONTRIBUTIONS:
        return int(request.computation == TRAIN)
    return int(1 << (len(parties_of(contract, clause_of(contract, request))) - 1))


def _check_contributions(
    contract: Contract, clause: ModelClause, request: JobRequest, trainings: int
) -> None:
    if not clause.contributions:
        raise _refused(
            contract, clause, "contributions", "contributions",
            f"what each party adds to {clause.name!r} may not be measured: the contract tells it to nobody",
            "agree on a version whose clause names in contributions who is told",
        )  # fmt: skip
    _check_recipients(contract, clause, request, clause.contributions, "contributions")
    wanted, left = trainings_of(contract, request), clause.maximum_trainings - trainings
    if wanted > left:
        raise _refused(
            contract, clause, "trainings", "maximum_trainings",
            f"it takes {wanted} trainings, one for every coalition, and {max(0, left)} of "
            f"{clause.maximum_trainings} are left of {clause.name!r}",
            "agree on a larger maximum_trainings",
        )  # fmt: skip


def _check_people(contract: Contract, clause: ModelClause) -> None:
    # The contract's own check says the same; here it holds for whatever a node was handed.
    if is_personal(contract, clause) and (
        clause.authorisation != "authorised-by-people" or clause.evidence is None
    ):
        raise _refused(
            contract, clause, "authorisation", "authorisation",
            f"the rows of {clause.name!r} are about people, and the clause names no authorisation by them",
            "agree on a clause with authorised-by-people and where the evidence is kept",
        )  # fmt: skip


def _check_recipients(
    contract: Contract, clause: ModelClause, request: JobRequest, allowed: Iterable[str], key: str
) -> None:
    strangers = sorted(set(request.recipients) - set(allowed))
    if strangers:
        raise _refused(
            contract, clause, "recipient", key,
            f"{', '.join(strangers)} may not receive anything of this job of {clause.name!r}",
            "name only " + (", ".join(sorted(allowed)) or "nobody"),
        )  # fmt: skip


def _check_uses(contract: Contract, clause: ModelClause, request: JobRequest) -> None:
    targets = clause.datasets if clause.horizontal else (clause.target.dataset,)
    for use in request.uses:
        fits = use.dataset in clause.datasets and (
            use.purpose == "membership"
            or (use.purpose == "feature" and use.column in clause.columns_of(use.dataset))
            or (
                use.purpose == "feature"
                and use.dataset == clause.target.dataset
                and use.column in clause.target.beside
            )
            or (
                use.purpose == "target"
                and use.column == clause.target.column
                and use.dataset in targets
                and request.computation in (TRAIN, CONTRIBUTIONS)
            )
        )
        dataset = contract.dataset(use.dataset)
        column = dataset.column(use.column) if dataset is not None and use.column else None
        if not fits or (column is not None and use.purpose not in column.uses):
            raise _refused(
                contract, clause, "column", "features",
                f"{clause.name!r} may not use {use.dataset}.{use.column or '(membership)'} as {use.purpose}",
                "use only the columns that the clause names",
            )  # fmt: skip


def _check_price(contract: Contract, clause: ModelClause, request: JobRequest) -> None:
    owners = parties_of(contract, clause)
    linear = clause.kind in LINEAR_KINDS
    # Scores of linear models are summed over rows that are matched on shares, however they were aligned to learn.
    hidden = clause.alignment == "hidden" or (linear and request.computation == SCORE)
    if request.computation == SCORE_ONE:
        hidden = clause.online == "hidden"
    matched = hidden and len(owners) > 1
    wrong = ""
    if request.noise or request.epsilon != 0:
        wrong = (
            "a model's parts leave exactly, so the job cannot spend an epsilon towards recipients"
        )
    elif matched and not 0 < request.epsilon_join <= contract.join.epsilon:
        wrong = f"matching rows needs an epsilon_join above 0 and at most {contract.join.epsilon:g}"
    elif not matched and request.epsilon_join != 0:
        wrong = "rows are not matched on shares, so the job cannot spend an epsilon_join"
    elif request.roster:
        wrong = "a model job matches its rows itself and takes no roster"
    if wrong:
        raise _refused(contract, clause, "price", "alignment", wrong,
                       "ask with 'hanse model', which says it rightly")  # fmt: skip


def check_held_model(
    contract: Contract, clause: ModelClause, request: JobRequest, note: ModelNote | None,
    now: datetime, *, party: str,
) -> None:  # fmt: skip
    """`Refusal` unless ``party`` can play its part in scoring with the model that the request names."""
    job = str(request.parameters.get("training", ""))
    again = "train it again, or score with another model ('hanse model list')"
    where = f"contract {contract.id}, model {clause.name}, {party}"
    if note is None or note.job != job or note.state != "held":
        gone = note is not None and note.job == job and note.state == "deleted"
        raise Refusal(
            "model.missing",
            f"{party} {'has deleted' if gone else 'does not hold'} its part of the model made by job "
            f"{job[:12] or '(none)'}; without it there is no score",
            remedy=again,
            where=where,
        )
    if now >= note.expires:
        raise Refusal("model.expired", f"{party}'s part of {clause.name!r} expired on {note.expires:%Y-%m-%d}",
                      remedy=again, where=where)  # fmt: skip
    if note.contract != contract.id or note.name != clause.name or note.clause != clause.digest:
        raise Refusal(
            "model.changed",
            f"the contract's clause {clause.name!r} is another one than the model was trained under",
            remedy=again,
            where=where,
        )


def _refused(
    contract: Contract, clause: ModelClause, code: str, key: str, message: str, remedy: str
) -> Refusal:
    return Refusal(
        f"model.{code}", message, remedy=remedy,
        where=f"contract {contract.id}, models[{clause.name}].{key}",
    )  # fmt: skip
