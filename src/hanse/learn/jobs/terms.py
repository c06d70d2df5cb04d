"""What a training or scoring amounts to under a contract's clause: pure, so that every node plans it alike.

Declared numbers only: columns by their kinds and public lists of values, rows by capacities. What a party's data
look like changes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError

from hanse.align import JoinPolicy
from hanse.contracts import Contract, JobRequest, ModelClause, Use
from hanse.contracts.fields import Document
from hanse.contracts.model_check import clause_called
from hanse.contracts.models import is_personal, parties_of
from hanse.contracts.terms import Column
from hanse.errors import Refusal
from hanse.gate.scores import ModelRelease, Told
from hanse.problems import keys_of, refusal
from hanse.wire import digest

F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]
Q = TypeVar("Q", bound=Document)
LEAST_HOLDOUT = 0.05


def whole_percents(share: float) -> float:
    """A share of rows to test on; `ValueError` for one that could keep one person apart."""
    # Whose row is for the test follows from its id: a finer share could keep exactly one person apart.
    if share and (share < LEAST_HOLDOUT or abs(100 * share - round(100 * share)) > 1e-9):
        raise ValueError("is 0, or whole percents from 0.05 to 0.9")
    return share


Holdout = Annotated[float, Field(ge=0, le=0.9), AfterValidator(whole_percents)]


class Table(Protocol):
    """What a protocol needs of a job: the request, and which role is whose."""

    @property
    def request(self) -> JobRequest: ...
    @property
    def names(self) -> tuple[str, ...]: ...

    def provider_role(self, party: str) -> int: ...
    def recipient_role(self, party: str) -> int: ...


@dataclass(frozen=True)
class Term:
    """One column as the contract has it: name, kind, and the public values of a category."""

    name: str
    kind: str
    values: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it becomes: one per value of a category but the first, which is the reference."""
        return tuple(f"{self.name}={v}" for v in self.values[1:]) if self.values else (self.name,)


@dataclass(frozen=True)
class Side:
    """What one party brings: a dataset, its columns, how many rows at most."""

    party: str
    dataset: str
    terms: tuple[Term, ...]
    capacity: int

    @property
    def names(self) -> tuple[str, ...]:
        """Encoded columns, in order."""
        return tuple(name for term in self.terms for name in term.names)

    @property
    def width(self) -> int:
        return len(self.names)

    def encoded(self, values: F64) -> F64:
        """Rows [rows, terms] as [rows, width]: categories (codes from 1, NaN if none) become columns of 0 and 1.

        A category that is missing or not listed counts as the reference value.
        """
        parts = []
        for number, term in enumerate(self.terms):
            column = values[:, number]
            if term.values:
                codes = np.nan_to_num(column, nan=1.0)
                parts += [codes == code for code in range(2, len(term.values) + 1)]
            else:
                parts.append(column)
        return np.stack(parts, axis=1).astype(np.float64) if parts else np.zeros((len(values), 0))


@dataclass(frozen=True)
class Terms:
    """What trainings and scorings of one model share. ``sides``: the target's party first, then sorted."""

    clause: ModelClause
    personal: bool
    sides: tuple[Side, ...]
    target: Term
    policy: JoinPolicy
    k: int
    weight: Term | None = None
    offset: Term | None = None

    @property
    def parties(self) -> tuple[str, ...]:
        return tuple(side.party for side in self.sides)

    @property
    def label_party(self) -> str:
        return self.sides[0].party

    def side(self, party: str) -> Side:
        return next(side for side in self.sides if side.party == party)

    def uses(self, *, target: bool) -> tuple[Use, ...]:
        """How the job touches the data."""
        found = []
        for side in self.sides:
            found += [
                Use(dataset=side.dataset, column=t.name, purpose="feature") for t in side.terms
            ]
            if target and (side.party == self.label_party or self.clause.horizontal):
                found.append(
                    Use(dataset=side.dataset, column=self.clause.target.column, purpose="target")
                )
            if side.party == self.label_party:
                beside = (self.weight if target else None, self.offset)
                found += [
                    Use(dataset=side.dataset, column=t.name, purpose="feature")
                    for t in beside
                    if t is not None
                ]
            found.append(Use(dataset=side.dataset, column="", purpose="membership"))
        return tuple(found)

    def channel_roles(self, job: Table) -> list[int]:
        """Roles of the job by number of the protocol: seats, then this model's parties in order."""
        return [0, 1, 2, *(job.provider_role(p) for p in self.parties)]


class Training:
    """What every plan of a training says of itself."""

    terms: Terms
    release: ModelRelease

    @property
    def uses(self) -> tuple[Use, ...]:
        return self.terms.uses(target=True)

    @property
    def recipients(self) -> tuple[str, ...]:
        return recipients_of(self.release)


class Scoring:
    """What every plan of a scoring says of itself; ``question`` is `scoring.batch.ScoringQuestion`."""

    terms: Terms
    question: Received

    @property
    def uses(self) -> tuple[Use, ...]:
        return self.terms.uses(target=False)

    @property
    def recipients(self) -> tuple[str, ...]:
        return (self.question.receiver,)


class Received(Protocol):
    """A question whose answer one party receives."""

    @property
    def receiver(self) -> str: ...


def require_trees(contract: Contract, terms: Terms, trees: int) -> None:
    """`Refusal` ``model.trees`` for more trees than the clause allows."""
    clause = terms.clause
    if trees > clause.maximum_trees:
        raise Refusal("model.trees", f"the contract allows {clause.maximum_trees} trees, not {trees}",
                      remedy="ask for fewer, or agree on a larger maximum_trees",
                      where=f"contract {contract.id}, models[{clause.name}].maximum_trees")  # fmt: skip


def terms_of(contract: Contract, model: str) -> Terms:
    """The model's terms. `Refusal` ``model.unknown`` if the contract has none of that name."""
    clause = clause_called(contract, model)
    sides = []
    for party in parties_of(contract, clause):
        for name in clause.datasets:
            dataset = contract.dataset(name)
            if dataset is None or dataset.provider != party:
                continue
            columns = [c for n in clause.columns_of(name) if (c := dataset.column(n)) is not None]
            sides.append(Side(party, name, tuple(map(_term, columns)), dataset.capacity))
    owner = contract.dataset(clause.target.dataset)
    column = owner.column(clause.target.column) if owner is not None else None
    more = [
        None if owner is None or name is None else owner.column(name)
        for name in (clause.target.weight, clause.target.offset)
    ]
    if column is None:
        raise Refusal("model.column", f"the target of {model!r} is not in the contract",
                      remedy="agree on a clause that names a column of the contract")  # fmt: skip
    return Terms(
        clause, is_personal(contract, clause), tuple(sides), _term(column),
        JoinPolicy(contract.join.epsilon, contract.join.delta), contract.privacy.k,
        *(None if c is None else _term(c) for c in more),
    )  # fmt: skip


def _term(column: Column) -> Term:
    return Term(column.name, column.kind, column.values)


def release_of(terms: Terms, told: Iterable[Told], besides: tuple[str, ...] = ()) -> ModelRelease:
    """The release of these outputs; those that nobody may read are left out."""
    return ModelRelease(tuple(t for t in told if t.to and t.size), terms.k, besides)


def recipients_of(release: ModelRelease) -> tuple[str, ...]:
    """Who reads something, sorted."""
    return tuple(sorted({party for told in release.told for party in told.to}))


# --- rows kept for the test -------------------------------------------------------------------------


def split_rows(capacity: int, holdout: float) -> tuple[int, int]:
    """(rows to learn from, rows to test on) that ``capacity`` rows are declared as.

    Which ids are for the test is decided by their hashes, so the numbers vary; eight deviations of room are left.
    """
    if holdout == 0:
        return capacity, 0
    room = 16 + 8 * math.sqrt(capacity * holdout * (1 - holdout))
    return (
        min(capacity, math.ceil(capacity * (1 - holdout) + room)),
        min(capacity, math.ceil(capacity * holdout + room)),
    )


def lots(ids: U64, model: str, contract: str) -> F64:
    """A number in [0, 1) for each hashed id: the same at every party and in every training of the model."""
    salt = np.uint64(int(digest({"contract": contract, "model": model})[:16], 16))
    x = ids ^ salt
    with np.errstate(over="ignore"):  # splitmix64 (Steele, Lea, Flood 2014)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return np.asarray((x >> np.uint64(11)).astype(np.float64) / float(1 << 53))


# --- what a party has at home -----------------------------------------------------------------------


@dataclass(frozen=True)
class HomeRows:
    """A party's rows at home: hashed ids rising, columns [rows, terms] as read, the target's if it has it."""

    ids: U64
    values: F64
    target: F64 | None
    texts: Any = None  # ids as written, if scores are to be handed back
    weight: F64 | None = None
    offset: F64 | None = None


def read_question(kind: type[Q], parameters: Mapping[str, Any]) -> Q:
    """Parameters as the question they are; `Refusal` ``question.malformed`` naming the key."""
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        keys = keys_of(kind)
        raise refusal(
            "question.malformed", "the question", error, dict(parameters), keys
        ) from error
