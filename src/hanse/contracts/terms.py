"""The contract: who gives what, who may compute what with it, who learns it, at what privacy cost.

Frozen models of the TOML document that people read and sign. The hash is over the canonical JSON
form, so layout, comments and the order of keys do not matter; every value does.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from hanse.contracts.crowds import (
    CROWD_JOBS,
    CrowdClause,
    CrowdCounts,
    CrowdHoliday,
    CrowdSignal,
    crowd_problems,
)
from hanse.contracts.fields import (
    MAX_CAPACITY,
    MAX_COLUMN_MAXIMUM,
    MAX_EPSILON_PER_JOIN,
    MAX_EPSILON_PER_QUERY,
    MAX_ROSTER_DAYS,
    MAX_SLOTS,
    MIN_K,
    ColumnName,
    Delta,
    Document,
    Hash,
    Label,
    Name,
    NotSensitive,
    Positive,
    SigningKey,
    Slug,
    Text,
)
from hanse.contracts.models import (
    MODEL_JOBS,
    ModelClause,
    ModelFeatures,
    ModelTarget,
    model_problems,
    parties_of,
)
from hanse.contracts.places import GazetteerClause
from hanse.contracts.prices import Price, Prices, Purchase, price_problems
from hanse.contracts.qualifications import Qualification, QualifyingTest, problems_of
from hanse.contracts.tomltext import write
from hanse.contracts.truths import TruthClause, truth_problems
from hanse.errors import Refusal
from hanse.problems import ProblemsError, refusal
from hanse.wire.codec import canonical, digest

ColumnKind = Literal["category", "integer", "amount", "time", "boolean", "place", "number"]
ColumnUse = Literal["filter", "segment", "order", "value", "place", "feature", "target"]
LegalBasis = Literal["consent", "contract", "legitimate-interest", "public-task", "not-personal"]
Period = Literal["contract", "month"]

MAX_DOCUMENT_CHARACTERS = 1 << 20
USUAL_SIMILAR_QUESTIONS = 10

# What each kind of column can be used for at all. Segments need a public list of values, because
# whether a cell exists must not depend on data.
USES_OF_KIND: Mapping[str, frozenset[str]] = {
    "category": frozenset({"filter", "segment", "feature", "target"}),
    "boolean": frozenset({"filter", "segment", "value", "feature", "target"}),
    "integer": frozenset({"filter", "value", "feature", "target"}),
    "amount": frozenset({"filter", "value", "feature", "target"}),
    "time": frozenset({"filter", "order"}),
    "place": frozenset({"place"}),
    "number": frozenset({"feature", "target"}),  # any real number; of use to models only
}


class Join(Document):
    """How people are matched, and the privacy of what the seats see while it happens.

    ``roster_days`` says how long one matching may serve further jobs (`rosters`); 0: for none but its own.
    """

    id_type: Name
    hash: Literal["sha256", "md5+sha256"]
    epsilon: Annotated[float, Field(gt=0, le=MAX_EPSILON_PER_JOIN)]
    delta: Delta
    epsilon_budget: Positive
    roster_days: Annotated[int, Field(ge=0, le=MAX_ROSTER_DAYS)] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.epsilon > self.epsilon_budget:
            raise ProblemsError(
                [("epsilon", "is over epsilon_budget; lower it or raise the budget")]
            )
        return self


class Privacy(Document):
    """Threshold, noise and budget of what recipients learn.

    ``similar_questions`` is how many near-identical questions a period may see (`similarity`).
    """

    k: Annotated[int, Field(ge=MIN_K)]
    epsilon_per_query: Annotated[float, Field(gt=0, le=MAX_EPSILON_PER_QUERY)]
    epsilon_budget: Positive
    delta: Delta
    period: Period
    similar_questions: Annotated[int, Field(ge=1, le=10_000)] = USUAL_SIMILAR_QUESTIONS

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.epsilon_per_query > self.epsilon_budget:
            raise ProblemsError(
                [("epsilon_per_query", "is over epsilon_budget; lower it or raise the budget")]
            )
        return self


class Party(Document):
    """An organisation with one node."""

    name: Slug
    organisation: Label
    signing_key: SigningKey
    certificate: Hash


class Column(Document):
    """One column of a dataset and what jobs may do with it."""

    name: ColumnName
    kind: Annotated[ColumnKind, NotSensitive]
    uses: Annotated[tuple[ColumnUse, ...], Field(min_length=1)]
    values: Annotated[tuple[Label, ...], Field(max_length=10_000)] = ()
    maximum: Annotated[int, Field(ge=1, le=MAX_COLUMN_MAXIMUM)] | None = None
    gazetteer: Name | None = None  # of a place column: the list its ids are from

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        if self.kind == "category" and not self.values:
            found.append(("values", "is missing; a category needs its public list of values"))
        if self.kind != "category" and self.values:
            found.append(("values", f"does not belong to a column of kind {self.kind}; remove it"))
        if self.kind in ("integer", "amount") and self.maximum is None:
            found.append(("maximum", f"is missing; a column of kind {self.kind} needs its cap"))
        if self.kind not in ("integer", "amount") and self.maximum is not None:
            found.append(("maximum", f"does not belong to a column of kind {self.kind}; remove it"))
        if self.kind == "place" and self.gazetteer is None:
            found.append(("gazetteer", "is missing; a place needs the name of its public list"))
        if self.kind != "place" and self.gazetteer is not None:
            found.append(
                ("gazetteer", f"does not belong to a column of kind {self.kind}; remove it")
            )
        for use in self.uses:
            if use not in USES_OF_KIND[self.kind]:
                possible = ", ".join(sorted(USES_OF_KIND[self.kind]))
                found.append(
                    ("uses", f"a column of kind {self.kind} cannot {use}; possible: {possible}")
                )
        found += _repeated("uses", self.uses)
        found += _repeated("values", self.values)
        if found:
            raise ProblemsError(found)
        return self


class Dataset(Document):
    """Rows that one provider contributes, one per person, padded to the declared capacity."""

    name: Name
    provider: Slug
    capacity: Annotated[int, Field(ge=1, le=MAX_CAPACITY)]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)]
    personal: bool = True
    legal_basis: LegalBasis | None = None
    evidence: Text | None = None
    columns: Annotated[tuple[Column, ...], Field(max_length=256)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = list(_repeated("columns", [column.name for column in self.columns]))
        if self.personal:
            if self.legal_basis is None:
                found.append(("legal_basis", "is missing; data about people needs one"))
            if self.legal_basis == "not-personal":
                found.append(
                    ("legal_basis", "says not-personal but personal is true; correct one of them")
                )
            if self.evidence is None:
                found.append(
                    ("evidence", "is missing; say where the evidence of the legal basis is kept")
                )
        elif self.legal_basis not in (None, "not-personal"):
            found.append(
                ("legal_basis", "speaks of people but personal is false; correct one of them")
            )
        if found:
            raise ProblemsError(found)
        return self

    def column(self, name: str) -> Column | None:
        """The column called ``name``, if there is one."""
        return next((column for column in self.columns if column.name == name), None)


class Computation(Document):
    """One thing that may be computed, on which datasets, and who may learn the result."""

    name: Name
    recipients: Annotated[tuple[Slug, ...], Field(min_length=1)]
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]


class Contract(Document):
    """All terms. Build it with `from_toml`, `from_json` or `from_fields`, which refuse in words."""

    format: Literal[1]
    id: Slug
    version: Annotated[int, Field(ge=1)]
    title: Label
    purpose: Text
    starts: date
    expires: date
    maximum_jobs: Annotated[int, Field(ge=1, le=1_000_000)]
    seats: tuple[Slug, Slug, Slug]
    independence: Text
    retention_days: Annotated[int, Field(ge=1, le=3650)]
    join: Join
    privacy: Privacy
    parties: Annotated[tuple[Party, ...], Field(min_length=3, max_length=64)]
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1, max_length=64)]
    computations: Annotated[tuple[Computation, ...], Field(max_length=64)] = ()
    gazetteers: Annotated[tuple[GazetteerClause, ...], Field(max_length=16)] = ()
    qualifications: Annotated[tuple[Qualification, ...], Field(max_length=64)] = ()
    models: Annotated[tuple[ModelClause, ...], Field(max_length=64)] = ()
    truths: Annotated[tuple[TruthClause, ...], Field(max_length=16)] = ()
    crowds: Annotated[tuple[CrowdClause, ...], Field(max_length=16)] = ()
    prices: Prices | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = list(_contract_problems(self))
        if found:
            raise ProblemsError(found)
        return self

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The contract made of plain values. Raises `Refusal` ``contract.malformed``."""
        try:
            # Through JSON, so that a TOML file, a peer's message and a caller's dictionary are all
            # read by the same strict rules.
            return cls.model_validate_json(json.dumps(fields, default=_day))
        except ValidationError as error:
            raise refusal(
                "contract.malformed", "the contract", error, fields, _KNOWN_KEYS
            ) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise _malformed("it holds a value that no contract has", str(error)) from error

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read the TOML document. Raises `Refusal` ``contract.malformed`` listing every problem."""
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            raise _malformed(f"it is longer than {MAX_DOCUMENT_CHARACTERS} characters")
        try:
            fields = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise _malformed(f"it is not valid TOML: {error}") from error
        return cls.from_fields(fields)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read the JSON form. Raises `Refusal` ``contract.malformed`` listing every problem."""
        if len(data) > MAX_DOCUMENT_CHARACTERS:
            raise _malformed(f"it is longer than {MAX_DOCUMENT_CHARACTERS} characters")
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _malformed("it is not valid JSON") from error
        if not isinstance(fields, dict):
            raise _malformed("it is not a JSON object")
        return cls.from_fields(fields)

    def to_toml(self) -> str:
        """The TOML document; `from_toml` gives the same contract back."""
        return write(_without_empty(self.model_dump(exclude_none=True)))

    def fields(self) -> dict[str, Any]:
        """The JSON form: plain values only, what `canonical` and the hash are made over."""
        fields = self.model_dump(mode="json", exclude_none=True)
        for later in ("gazetteers", "qualifications", "models", "truths", "crowds"):
            if not fields[later]:  # contracts from before there were any keep their hash
                del fields[later]
        for model in fields.get("models", ()):
            if not model["contributions"]:
                del model["contributions"]
        if not fields["join"]["roster_days"]:
            del fields["join"]["roster_days"]
        if fields["privacy"]["similar_questions"] == USUAL_SIMILAR_QUESTIONS:
            del fields["privacy"]["similar_questions"]
        return fields

    def canonical(self) -> bytes:
        """Canonical JSON: equal contracts give equal bytes."""
        return canonical(self.fields())

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal: what every party signs."""
        return digest(self.fields())

    @property
    def providers(self) -> tuple[str, ...]:
        """Parties that contribute rows, sorted."""
        return tuple(sorted({dataset.provider for dataset in self.datasets}))

    def party(self, name: str) -> Party | None:
        """The party called ``name``, if there is one."""
        return next((party for party in self.parties if party.name == name), None)

    def dataset(self, name: str) -> Dataset | None:
        """The dataset called ``name``, if there is one."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def computation(self, name: str) -> Computation | None:
        """The computation called ``name``, if there is one."""
        return next((item for item in self.computations if item.name == name), None)

    def model(self, name: str) -> ModelClause | None:
        """The model called ``name``, if there is one."""
        return next((item for item in self.models if item.name == name), None)

    def truth(self, name: str) -> TruthClause | None:
        """What the crowd called ``name`` is, if the contract says so."""
        return next((item for item in self.truths if item.name == name), None)

    def gazetteer(self, name: str) -> GazetteerClause | None:
        """The list of places called ``name``, if there is one."""
        return next((item for item in self.gazetteers if item.name == name), None)

    def qualification(self, name: str, dataset: str) -> Qualification | None:
        """What ``name`` means for events of ``dataset``, if the contract says so."""
        found = (q for q in self.qualifications if q.name == name and q.dataset == dataset)
        return next(found, None)


_KNOWN_KEYS = frozenset(
    key
    for model in (
        *(Contract, Join, Privacy, Party, Dataset, Column, Computation),
        *(GazetteerClause, Qualification, QualifyingTest),
        *(ModelClause, ModelTarget, ModelFeatures),
        TruthClause,
        *(CrowdClause, CrowdCounts, CrowdSignal, CrowdHoliday),
        *(Prices, Price, Purchase),
    )
    for key in model.model_fields
)


def _contract_problems(contract: Contract) -> Iterator[tuple[str, str]]:
    """What no single field can see: references, repetition, independence, dates."""
    if contract.starts >= contract.expires:
        yield "expires", "must be later than starts"
    yield from _repeated("parties", [party.name for party in contract.parties])
    # One key or certificate under two names would let one node stand for two parties.
    yield from _repeated("parties", [p.signing_key for p in contract.parties], "signing_key")
    yield from _repeated("parties", [p.certificate for p in contract.parties], "certificate")
    yield from _repeated("datasets", [dataset.name for dataset in contract.datasets])
    yield from _repeated("computations", [item.name for item in contract.computations])
    parties = {party.name for party in contract.parties}
    yield from _repeated("gazetteers", [item.name for item in contract.gazetteers])
    datasets = {dataset.name for dataset in contract.datasets}
    gazetteers = {item.name for item in contract.gazetteers}
    yield from _unknown("seats", contract.seats, parties, "party")
    yield from _seat_problems(contract)
    for dataset in contract.datasets:
        where = f"datasets[{dataset.name}].provider"
        yield from _unknown(where, [dataset.provider], parties, "party")
        for column in dataset.columns:
            if column.gazetteer is not None:
                at = f"datasets[{dataset.name}].columns[{column.name}].gazetteer"
                yield from _unknown(at, [column.gazetteer], gazetteers, "gazetteer")
    for item in contract.computations:
        where = f"computations[{item.name}]"
        yield from _unknown(f"{where}.recipients", item.recipients, parties, "party")
        yield from _unknown(f"{where}.datasets", item.datasets, datasets, "dataset")
        yield from _repeated(f"{where}.recipients", item.recipients)
        yield from _repeated(f"{where}.datasets", item.datasets)
    yield from problems_of(contract.qualifications, contract.datasets)
    yield from truth_problems(contract.truths, parties, gazetteers)
    if not contract.computations and not contract.models and not contract.crowds:
        yield "computations", "is missing; a contract allows at least one computation or model"
    yield from model_problems(contract)
    yield from crowd_problems(contract)
    names = {item.name for item in contract.computations} | {*MODEL_JOBS, *CROWD_JOBS}
    shared = {
        m.name: (parties_of(contract, m)[1:], m.contributions)
        for m in contract.models
        if m.contributions
    }
    yield from price_problems(contract.prices, parties, datasets, names, shared)
    yield from _join_delta_problems(contract)


def _seat_problems(contract: Contract) -> Iterator[tuple[str, str]]:
    if len(set(contract.seats)) < 3:
        yield "seats", "must name three different parties; one party may hold only one seat"
        return
    holders = [contract.party(seat) for seat in contract.seats]
    owners = [" ".join(h.organisation.split()).casefold() for h in holders if h is not None]
    if len(set(owners)) < len(owners):
        yield (
            "seats",
            "two seats are held by the same organisation, which could read everything; "
            "give one to an independent party",
        )


def _join_delta_problems(contract: Contract) -> Iterator[tuple[str, str]]:
    people = max((d.capacity for d in contract.datasets if d.personal), default=0)
    if people and contract.join.delta * 10 * people > 1 + 1e-9:
        yield (
            "join.delta",
            f"must be at most {1 / (10 * people):.3g}, one in ten times the largest capacity, "
            "or it no longer protects every single person",
        )


def _repeated(path: str, names: Iterable[str], key: str = "") -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    told: set[str] = set()
    for name in names:
        if name in seen and name not in told:
            told.add(name)
            yield (
                path,
                (
                    f"two entries share one {key}; each needs its own"
                    if key
                    else f"{name[:64]!r} is named twice; name it once"
                ),
            )
        seen.add(name)


def _unknown(
    path: str, names: Iterable[str], known: set[str], what: str
) -> Iterator[tuple[str, str]]:
    for name in names:
        if name not in known:
            yield path, f"there is no {what} {name!r}; add it or correct the name"


def _without_empty(table: Mapping[str, Any]) -> dict[str, Any]:
    """Drop empty lists, at any depth: only fields whose default is empty can hold one."""
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, tuple):
            if value:
                kept[key] = [_without_empty(v) if isinstance(v, dict) else v for v in value]
        else:
            kept[key] = _without_empty(value) if isinstance(value, dict) else value
    return kept


def _day(value: object) -> str:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError(f"a {type(value).__name__}")
    return value.isoformat()


def _malformed(why: str, detail: str = "") -> Refusal:
    return Refusal(
        "contract.malformed",
        f"the contract cannot be read: {why}",
        remedy="correct the document, or ask for it again from the party that sent it",
        where="the contract",
        detail=detail,
    )
