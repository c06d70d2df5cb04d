"""Daily crowds in a contract: whose counters are the truth, whose columns help, who reads the figures, how often.

Places are not people, so places are aligned openly, by a gazetteer. An owner's counts are never opened to others;
of what map, operator and payments bring, only a sum over at least two of them is opened, to the owners. A clause
with two owners is refused: of a sum over two, each would know the other's part by taking off its own.

    crowd.unknown   crowd.recipient   crowd.column   crowd.price   crowd.trainings
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from hanse.contracts.fields import ColumnName, Document, Label, Name, Slug
from hanse.errors import Refusal
from hanse.problems import ProblemsError
from hanse.wire.codec import digest

if TYPE_CHECKING:
    from hanse.contracts.requests import JobRequest
    from hanse.contracts.terms import Column, Contract

CROWD_TRAIN, CROWD_DAY = "crowd-train", "crowd-day"
CROWD_JOBS = (CROWD_TRAIN, CROWD_DAY)
LEAST_SIGNALS = 2  # holders whose changes are summed: one alone would be told by the sum
LEAST_OWNERS = 3  # of counters, where there are several
MOST_AHEAD = 14
MOST_VALUES = 16  # columns of one holder's table


class CrowdCounts(Document):
    """Counts of one owner: a truth of the contract, and the columns of the dataset that hold it.

    ``reported`` is the column of report days; without one the truth's lateness says when a day is known.
    """

    truth: Name
    dataset: Name
    place: ColumnName
    date: ColumnName
    value: ColumnName
    reported: ColumnName | None = None

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(column, use)."""
        return _columns(self, "target")


class CrowdSignal(Document):
    """A fresh number per place and day that one holder (map, operator, payments) brings."""

    dataset: Name
    place: ColumnName
    date: ColumnName
    value: ColumnName
    reported: ColumnName | None = None
    lateness: Annotated[int, Field(ge=0, le=400)]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(column, use)."""
        return _columns(self, "feature")


class CrowdTable(Document):
    """What one holder (map, operator, payments) knows of places, measured or not: ``values`` by place.

    One row a place; or, with ``date``, one row a place and day, of which the usual working and free day is taken.
    Trees over these numbers say what to expect of places without counts.
    """

    dataset: Name
    place: ColumnName
    values: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=MOST_VALUES)]
    date: ColumnName | None = None
    reported: ColumnName | None = None

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(column, use)."""
        days = tuple((name, "order") for name in (self.date, self.reported) if name is not None)
        return ((self.place, "place"), *days, *((name, "feature") for name in self.values))


def _columns(one: CrowdCounts | CrowdSignal, use: str) -> tuple[tuple[str, str], ...]:
    more = ((one.reported, "order"),) if one.reported is not None else ()
    return ((one.place, "place"), (one.date, "order"), *more, (one.value, use))


_Side = CrowdCounts | CrowdSignal | CrowdTable


class CrowdHoliday(Document):
    """A day on which people do not work, and what it is called."""

    date: date
    name: Label


class CrowdClause(Document):
    """One crowd that is told every day, by name.

    ``history_days`` of the past are used; ``days_ahead`` are told besides the day itself; a model is trained again
    after ``retrain_days``. ``recipients`` read the figures: of each place a number, an interval and a confidence,
    or why there is none.
    """

    name: Name
    gazetteer: Name
    owners: Annotated[tuple[CrowdCounts, ...], Field(min_length=1, max_length=16)]
    signals: Annotated[tuple[CrowdSignal, ...], Field(max_length=16)] = ()
    tables: Annotated[tuple[CrowdTable, ...], Field(min_length=1, max_length=16)] | None = None
    recipients: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=64)]
    days_ahead: Annotated[int, Field(ge=0, le=MOST_AHEAD)] = 7
    history_days: Annotated[int, Field(ge=180, le=1600)] = 800
    retrain_days: Annotated[int, Field(ge=1, le=366)] = 7
    maximum_trainings: Annotated[int, Field(ge=1, le=10_000)]
    expiry_days: Annotated[int, Field(ge=1, le=3650)]
    weekend: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(max_length=6)] = (5, 6)
    holidays: Annotated[tuple[CrowdHoliday, ...], Field(max_length=2000)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        if 1 < len(self.owners) < LEAST_OWNERS:
            found.append(("owners", "are two: of a sum over two owners each would learn the other's part; "
                          "let one train alone, or agree with a third"))  # fmt: skip
        if 0 < len(self.signals) < LEAST_SIGNALS:
            found.append(("signals", "is one: a sum over a single holder would tell its numbers; name two or "
                          "more, or none"))  # fmt: skip
        names = self.datasets
        if len(set(names)) < len(names):
            found.append(("signals", "or owners name a dataset twice; name each once"))
        held = [table.dataset for table in self.tables or ()]
        if len(set(held)) < len(held):
            found.append(("tables", "name a dataset twice; name it once, with all its values"))
        if any(len(set(t.values)) < len(t.values) for t in self.tables or ()):
            found.append(("tables", "name a value twice; name each once"))
        if any(t.reported is not None and t.date is None for t in self.tables or ()):
            found.append(("tables", "have a day of the report but no day; name both or neither"))
        if len(set(self.recipients)) < len(self.recipients):
            found.append(("recipients", "names a party twice; name it once"))
        if len({one.date for one in self.holidays}) < len(self.holidays):
            found.append(("holidays", "names a day twice; name it once"))
        if found:
            raise ProblemsError(found)
        return self

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset of counts and signals, the owners' first."""
        return (*(o.dataset for o in self.owners), *(s.dataset for s in self.signals))

    @property
    def digest(self) -> str:
        """What a trained model rests on: recipients and rhythm may change under it, these terms may not."""
        kept = {"name", "gazetteer", "owners", "signals", *(("tables",) if self.tables else ())}
        return digest(self.model_dump(mode="json", include=kept))

    def counts_of(self, contract: Contract, party: str) -> CrowdCounts | None:
        """What ``party`` counts, if it is an owner."""
        return next((o for o in self.owners if _provider(contract, o.dataset) == party), None)

    def signal_of(self, contract: Contract, party: str) -> CrowdSignal | None:
        """What ``party`` brings, if it is a holder."""
        return next((s for s in self.signals if _provider(contract, s.dataset) == party), None)

    def table_of(self, contract: Contract, party: str) -> CrowdTable | None:
        """What ``party`` knows of places, if it holds a table."""
        return next((t for t in self.tables or () if _provider(contract, t.dataset) == party), None)

    def owner_parties(self, contract: Contract) -> tuple[str, ...]:
        """Parties with counters, sorted."""
        return tuple(sorted(_provider(contract, o.dataset) for o in self.owners))

    def signal_parties(self, contract: Contract) -> tuple[str, ...]:
        """Parties with signals, sorted."""
        return tuple(sorted(_provider(contract, s.dataset) for s in self.signals))

    def table_parties(self, contract: Contract) -> tuple[str, ...]:
        """Parties with tables, sorted."""
        return tuple(sorted(_provider(contract, t.dataset) for t in self.tables or ()))

    def helpers(self, contract: Contract) -> tuple[str, ...]:
        """Parties with signals or tables, sorted: a job goes on without any of them."""
        return tuple(sorted({*self.signal_parties(contract), *self.table_parties(contract)}))


def _provider(contract: Contract, dataset: str) -> str:
    found = contract.dataset(dataset)
    return "" if found is None else found.provider


# --- the clause beside the rest of the contract -------------------------------------------------------


def crowd_problems(contract: Contract) -> Iterator[tuple[str, str]]:
    """What no clause can see alone: (key path, sentence)."""
    seen = {model.name for model in contract.models}
    for clause in contract.crowds:
        path = f"crowds[{clause.name}]"
        if clause.name in seen:
            yield path, "has the name of another crowd or model; give each its own"
        seen.add(clause.name)
        yield from ((f"{path}.{key}", text) for key, text in _clause_problems(contract, clause))


def _clause_problems(contract: Contract, clause: CrowdClause) -> Iterator[tuple[str, str]]:
    if contract.gazetteer(clause.gazetteer) is None:
        yield "gazetteer", f"there is no gazetteer {clause.gazetteer!r}; add it or correct the name"
    parties = {party.name for party in contract.parties}
    for name in clause.recipients:
        if name not in parties:
            yield "recipients", f"there is no party {name!r}; add it or correct the name"
    providers: list[str] = []
    keepers: list[str] = []
    sides: list[tuple[str, _Side]] = [("owners", o) for o in clause.owners]
    sides += [("signals", s) for s in clause.signals]
    sides += [("tables", t) for t in clause.tables or ()]
    for kind, one in sides:
        dataset = contract.dataset(one.dataset)
        if dataset is None:
            yield kind, f"there is no dataset {one.dataset!r}; add it or correct the name"
            continue
        (keepers if kind == "tables" else providers).append(dataset.provider)
        if dataset.personal:
            yield kind, f"{one.dataset!r} is about people; a crowd takes numbers of places"
        for name, use in one.columns:
            yield from _column_problems(clause, kind, one.dataset, dataset.column(name), name, use)
    if len(set(providers)) < len(providers):
        yield "signals", "one party brings two datasets; let it join them at home and register one"
    if len(set(keepers)) < len(keepers):
        yield "tables", "one party brings two tables; let it join them at home and register one"
    if set(keepers) & set(clause.owner_parties(contract)):
        yield (
            "tables",
            "an owner of counters cannot also bring a table; let it add labels to the list of places",
        )
    for owner in clause.owners:
        yield from _truth_problems(contract, clause, owner)


def _column_problems(
    clause: CrowdClause, kind: str, dataset: str, column: Column | None, name: str, use: str
) -> Iterator[tuple[str, str]]:
    if column is None:
        yield kind, f"{dataset!r} has no column {name!r}"
    elif use not in column.uses:
        yield kind, f"column {name!r} of {dataset!r} does not have the use {use!r}"
    elif use == "place" and column.gazetteer != clause.gazetteer:
        yield (
            kind,
            f"column {name!r} of {dataset!r} holds places of another list than {clause.gazetteer!r}",
        )
    elif use in ("feature", "target") and column.kind in ("category", "boolean"):
        yield kind, f"column {name!r} of {dataset!r} is no number"


def _truth_problems(
    contract: Contract, clause: CrowdClause, owner: CrowdCounts
) -> Iterator[tuple[str, str]]:
    truth, dataset = contract.truth(owner.truth), contract.dataset(owner.dataset)
    if truth is None:
        yield "owners", f"there is no truth {owner.truth!r}; add it or correct the name"
        return
    if dataset is not None and truth.provider != dataset.provider:
        yield (
            "owners",
            f"{owner.truth!r} is counted by {truth.provider}, {owner.dataset!r} is another party's",
        )
    if truth.gazetteer != clause.gazetteer:
        yield "owners", f"{owner.truth!r} counts at the places of another list"
    first = contract.truth(clause.owners[0].truth)
    if first is not None and truth.measures != first.measures:
        yield "owners", "do not count the same; let all measure arrivals, people or dwell"


# --- whether a job fits -------------------------------------------------------------------------------


def crowd_called(contract: Contract, name: str) -> CrowdClause:
    """The clause called ``name``; `Refusal` ``crowd.unknown`` naming those there are."""
    found = next((clause for clause in contract.crowds if clause.name == name), None)
    if found is None:
        known = ", ".join(clause.name for clause in contract.crowds) or "none"
        raise Refusal(
            "crowd.unknown", f"the contract tells no crowd {name[:64]!r}",
            remedy=f"ask for one of those in its [[crowds]] ({known})",
            where=f"contract {contract.id}",
        )  # fmt: skip
    return found


def check_crowd(contract: Contract, request: JobRequest, *, trainings: int) -> None:
    """Return only if the clause allows this training or day; ``trainings`` were counted before."""
    clause = crowd_called(contract, str(request.parameters.get("crowd", "")))
    train = request.computation == CROWD_TRAIN
    allowed = set(clause.owner_parties(contract)) | (set() if train else set(clause.recipients))
    strangers = sorted(set(request.recipients) - allowed)
    if strangers:
        raise _refused(contract, clause, "recipient", "recipients",
                       f"{', '.join(strangers)} may not receive anything of this job of {clause.name!r}",
                       "name only " + ", ".join(sorted(allowed)))  # fmt: skip
    sides: tuple[_Side, ...] = (*clause.owners, *clause.signals, *(clause.tables or ()))
    wanted = {(one.dataset, name, use) for one in sides for name, use in one.columns}
    for use in request.uses:
        if (use.dataset, use.column, use.purpose) not in wanted:
            raise _refused(contract, clause, "column", "signals",
                           f"{clause.name!r} may not use {use.dataset}.{use.column or '(membership)'} as "
                           f"{use.purpose}", "use only the columns that the clause names")  # fmt: skip
    if request.noise or request.epsilon or request.epsilon_join or request.roster:
        raise _refused(contract, clause, "price", "name",
                       "crowds are of places, not of people: the job spends no epsilon and takes no roster",
                       "ask with 'hanse crowd-days', which says it rightly")  # fmt: skip
    if train and trainings >= clause.maximum_trainings:
        raise _refused(contract, clause, "trainings", "maximum_trainings",
                       f"all {clause.maximum_trainings} trainings of {clause.name!r} are used",
                       "tell days with the model there is, or agree on a larger maximum_trainings")  # fmt: skip


def _refused(
    contract: Contract, clause: CrowdClause, code: str, key: str, message: str, remedy: str
) -> Refusal:
    where = f"contract {contract.id}, crowds[{clause.name}].{key}"
    return Refusal(f"crowd.{code}", message, remedy=remedy, where=where)


# --- in words -----------------------------------------------------------------------------------------


def crowds_in_words(contract: Contract) -> list[str]:
    """The clauses as people read them."""
    return [line for clause in contract.crowds for line in _in_words(contract, clause)]


def _in_words(contract: Contract, clause: CrowdClause) -> Iterable[str]:
    owners = ", ".join(clause.owner_parties(contract))
    helpers = ", ".join(clause.signal_parties(contract)) or "nobody else"
    yield (
        f"{clause.name!r} tells every day the crowd of each place of {clause.gazetteer!r}, for that day and "
        f"{clause.days_ahead} days ahead, from counts of {owners} and fresh numbers of {helpers}."
    )
    yield (
        f"  Counts stay with their owner. Of the others' numbers the owners read, per place and day, the sum over "
        f"at least {LEAST_SIGNALS} parties of how far the day is from usual; seats read nothing."
    )
    if clause.tables:
        keepers = ", ".join(clause.table_parties(contract))
        yield (
            f"  For places without counts trees are grown over columns of {keepers}. Owners read sums of their own "
            f"errors over groups of at least 20 places of unnamed columns, and which places each split parts; the "
            f"columns themselves stay with their holders."
        )
    yield (
        f"  Figures go to {', '.join(clause.recipients)}. A model is trained at most {clause.maximum_trainings} "
        f"times, again after {clause.retrain_days} days, and ends {clause.expiry_days} days after its training."
    )


__all__ = [
    "CROWD_DAY",
    "CROWD_JOBS",
    "CROWD_TRAIN",
    "LEAST_SIGNALS",
    "CrowdClause",
    "CrowdCounts",
    "CrowdHoliday",
    "CrowdSignal",
    "CrowdTable",
    "check_crowd",
    "crowd_called",
    "crowd_problems",
    "crowds_in_words",
]
