"""Models in a contract: what may be learned about whom, on whose word, who receives which part, how often.

A model's target is not about people, or the people have authorised the model: the clause says which, and where the
evidence is kept. Whether a job fits its clause is decided in `model_check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.contracts.fields import ColumnName, Document, Name, Slug, Text
from hanse.problems import ProblemsError
from hanse.wire.codec import digest

if TYPE_CHECKING:
    from hanse.contracts.terms import Column, Contract, Dataset

TRAIN, SCORE, SCORE_ONE = "train", "score", "score-one"
CONTRIBUTIONS = "contributions"  # what each party adds: a model of every coalition, of which only metrics are told
MODEL_JOBS = (TRAIN, SCORE, SCORE_ONE, CONTRIBUTIONS)

LINEAR_KINDS = ("linear", "logistic", "multinomial", "poisson", "gamma", "tweedie")
BOOSTING_KINDS = ("boosting",)
HORIZONTAL_KINDS = ("horizontal-glm", "horizontal-linear", "horizontal-mlp", "horizontal-boosting")
ModelKind = Literal[
    "linear", "logistic", "multinomial", "poisson", "gamma", "tweedie", "boosting",
    "horizontal-glm", "horizontal-linear", "horizontal-mlp", "horizontal-boosting",
]  # fmt: skip
Alignment = Literal["hidden", "open", "none"]
Authorisation = Literal["not-personal", "authorised-by-people"]

MAX_MODEL_COLUMNS = 512
LEAST_ROWS = 20  # of any model; what is about people needs more (`hanse.learn`)


class ModelTarget(Document):
    """The column that a model predicts.

    Of the same dataset ``weight`` is what each row weighs, ``offset`` what is added to the predictor (an exposure's
    logarithm, say).
    """

    dataset: Name
    column: ColumnName
    weight: ColumnName | None = None
    offset: ColumnName | None = None

    @property
    def beside(self) -> tuple[str, ...]:
        """Columns that go with the target."""
        return tuple(c for c in (self.weight, self.offset) if c is not None)


class ModelFeatures(Document):
    """The columns that one dataset brings to a model."""

    dataset: Name
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=MAX_MODEL_COLUMNS)]


class ModelClause(Document):
    """One model that may be trained, by name.

    ``alignment``: "hidden" (rows are joined on shares), "open" (keys that are no secret between the parties), or
    "none" for horizontal kinds, whose parties have other rows of the same columns; there every dataset also has the
    target's column. ``coefficients`` (default: every party of the model) and ``p_values`` are told of a party's own
    columns only; ``metrics`` to any party; ``scores`` to parties of the model, ``online`` one at a time.
    """

    name: Name
    kind: ModelKind
    target: ModelTarget
    features: Annotated[tuple[ModelFeatures, ...], Field(min_length=1, max_length=16)]
    alignment: Alignment
    authorisation: Authorisation
    evidence: Text | None = None
    coefficients: tuple[Slug, ...] = ()
    p_values: tuple[Slug, ...] = ()
    metrics: tuple[Slug, ...] = ()
    contributions: tuple[Slug, ...] = ()  # who is told what each party adds to the model
    scores: tuple[Slug, ...] = ()
    online: Literal["no", "open-query", "hidden"] = "no"
    maximum_trainings: Annotated[int, Field(ge=1, le=10_000)]
    least_rows: Annotated[int, Field(ge=LEAST_ROWS)]
    expiry_days: Annotated[int, Field(ge=1, le=3650)]
    maximum_trees: Annotated[int, Field(ge=1, le=10_000)] = 100  # of boosting, in one training

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        names = [f.dataset for f in self.features]
        if len(set(names)) < len(names):
            found.append(("features", "names a dataset twice; list its columns once"))
        for item in self.features:
            if len(set(item.columns)) < len(item.columns):
                found.append((f"features[{item.dataset}]", "names a column twice; name it once"))
            beside = {self.target.column, *self.target.beside}
            if item.dataset == self.target.dataset and beside & set(item.columns):
                found.append(
                    (
                        f"features[{item.dataset}]",
                        "holds the target itself, or its weight or offset; leave it out",
                    )
                )
        if self.authorisation == "authorised-by-people" and self.evidence is None:
            found.append(("evidence", "is missing; say where the people's authorisation is kept"))
        horizontal = self.kind in HORIZONTAL_KINDS
        if horizontal != (self.alignment == "none"):
            found.append(
                ("alignment", 'is "none" for horizontal kinds, "hidden" or "open" for all others')
            )
        if self.kind in BOOSTING_KINDS and self.alignment == "hidden":
            found.append(
                (
                    "alignment",
                    'cannot be "hidden": boosting shows all parties which rows go left; say "open"',
                )
            )
        if self.target.weight is not None and self.horizontal:
            found.append(("target.weight", "is not offered for horizontal kinds; leave it out"))
        if self.target.offset is not None and self.kind not in LINEAR_KINDS[:2] + LINEAR_KINDS[3:]:
            found.append(
                ("target.offset", f"is not offered for models of kind {self.kind}; leave it out")
            )
        if self.online == "hidden" and self.kind not in LINEAR_KINDS:
            found.append(("online", 'cannot be "hidden" but for linear models; say "open-query"'))
        if self.online != "no" and not self.scores:
            found.append(("online", "has nobody to tell scores to; name them in scores"))
        if found:
            raise ProblemsError(found)
        return self

    @property
    def horizontal(self) -> bool:
        return self.kind in HORIZONTAL_KINDS

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets of the model, the target's first."""
        return tuple(dict.fromkeys([self.target.dataset, *(f.dataset for f in self.features)]))

    def columns_of(self, dataset: str) -> tuple[str, ...]:
        """Feature columns that a dataset brings, in the clause's order."""
        return next((f.columns for f in self.features if f.dataset == dataset), ())

    def told(self, contract: Contract) -> tuple[str, ...]:
        """Parties that get the coefficients of their own columns."""
        return self.coefficients or parties_of(contract, self)

    @property
    def digest(self) -> str:
        """What a trained model rests on: other terms of the clause may change under it, these may not."""
        return digest(
            self.model_dump(
                mode="json", include={"name", "kind", "target", "features", "alignment"}
            )
        )


def parties_of(contract: Contract, clause: ModelClause) -> tuple[str, ...]:
    """Who brings data to the model: the target's party first, then sorted."""
    owners = {n: d.provider for n in clause.datasets if (d := contract.dataset(n)) is not None}
    first = owners.get(clause.target.dataset)
    rest = sorted({party for party in owners.values() if party != first})
    return (first, *rest) if first is not None else tuple(rest)


def is_personal(contract: Contract, clause: ModelClause) -> bool:
    """Whether any of the model's rows are about people."""
    found = (contract.dataset(name) for name in clause.datasets)
    return any(dataset.personal for dataset in found if dataset is not None)


# --- the clause beside the rest of the contract -------------------------------------------------------


def model_problems(contract: Contract) -> Iterator[tuple[str, str]]:
    """What no clause can see alone: (key path, sentence)."""
    seen: set[str] = set()
    for clause in contract.models:
        path = f"models[{clause.name}]"
        if clause.name in seen:
            yield path, "is named twice; name it once"
        seen.add(clause.name)
        yield from ((f"{path}.{key}", text) for key, text in _clause_problems(contract, clause))


def _clause_problems(contract: Contract, clause: ModelClause) -> Iterator[tuple[str, str]]:
    known = [contract.dataset(name) for name in clause.datasets]
    for name, dataset in zip(clause.datasets, known, strict=True):
        if dataset is None:
            yield "features", f"there is no dataset {name!r}; add it or correct the name"
    datasets = [dataset for dataset in known if dataset is not None]
    if len(datasets) < len(known):
        return
    owners = [dataset.provider for dataset in datasets]
    if len(set(owners)) < len(owners):
        yield "features", "one party brings two datasets; let it join them at home and register one"
    if len(owners) < 2:
        yield "features", "only one party brings data; a joint model has two or more"
    yield from _column_problems(clause, datasets)
    yield from _personal_problems(contract, clause)
    parties = {party.name for party in contract.parties}
    own = set(parties_of(contract, clause))
    for key, names, allowed, what in (
        ("coefficients", clause.coefficients, own, "a party that brings columns"),
        ("p_values", clause.p_values, own, "a party that brings columns"),
        ("metrics", clause.metrics, parties, "a party of the contract"),
        ("contributions", clause.contributions, parties, "a party of the contract"),
        ("scores", clause.scores, own, "a party that brings rows: scores are told by row"),
    ):
        for name in names:
            if name not in allowed:
                yield key, f"{name!r} is not {what}"
    if clause.scores and clause.coefficients and set(clause.coefficients) != own:
        missing = ", ".join(sorted(own - set(clause.coefficients)))
        yield "coefficients", f"leaves out {missing}, without whose part nothing can be scored"
    if (
        clause.kind in BOOSTING_KINDS
    ):  # what they tell is worked out where the labels and the leaves are
        label = parties_of(contract, clause)[0]
        for key, names in (("metrics", clause.metrics), ("scores", clause.scores)):
            for name in names:
                if name != label:
                    yield key, f"of boosted trees can only be told to {label}, which has the target"
    if clause.horizontal and clause.coefficients and set(clause.coefficients) != own:
        missing = ", ".join(sorted(own - set(clause.coefficients)))
        yield (
            "coefficients",
            f"leaves out {missing}, which reads every sum and so the whole model all the same",
        )
    if clause.contributions and clause.kind not in LINEAR_KINDS:
        yield "contributions", f"are not measured of a model of kind {clause.kind}; leave them out"
    if clause.p_values and clause.kind not in LINEAR_KINDS:
        yield "p_values", f"a model of kind {clause.kind} has none; leave it out"


def _column_problems(clause: ModelClause, datasets: Iterable[Dataset]) -> Iterator[tuple[str, str]]:
    for dataset in datasets:
        wanted = [(name, "feature") for name in clause.columns_of(dataset.name)]
        if dataset.name == clause.target.dataset or clause.horizontal:
            wanted.append((clause.target.column, "target"))
        if dataset.name == clause.target.dataset:
            wanted += [(name, "feature") for name in clause.target.beside]
        for name, use in wanted:
            key = "target" if use == "target" else f"features[{dataset.name}]"
            column = dataset.column(name)
            if column is None:
                given = ", ".join(c.name for c in dataset.columns) or "none"
                yield key, f"{dataset.name!r} has no column {name!r}; its columns: {given}"
            elif use not in column.uses:
                yield key, f"column {name!r} of {dataset.name!r} does not have the use {use!r}"
            elif use == "target" and (problem := _target_problem(clause.kind, column)):
                yield key, problem


def _target_problem(kind: str, column: Column) -> str:
    classes = kind == "multinomial"
    if classes and column.kind not in ("category", "integer"):
        return "a multinomial model predicts a category or a whole number"
    if kind == "logistic" and column.kind == "category" and len(column.values) != 2:
        return "a logistic model predicts one of two values"
    if column.kind == "category" and kind in ("linear", "poisson", "gamma", "tweedie"):
        return f"a {kind} model predicts a number"
    return ""


def _personal_problems(contract: Contract, clause: ModelClause) -> Iterator[tuple[str, str]]:
    personal = is_personal(contract, clause)
    if personal and clause.authorisation == "not-personal":
        what = "its keys are open and" if clause.alignment == "open" else "its rows"
        yield (
            "authorisation",
            f'says "not-personal", but {what} are about people; a model about people needs their own '
            'authorisation: say "authorised-by-people" and where the evidence is kept',
        )
    if not personal and clause.authorisation == "authorised-by-people":
        yield "authorisation", "speaks of people, but none of its datasets is about people"


# --- in words ---------------------------------------------------------------------------------------


def in_words(contract: Contract, clause: ModelClause) -> list[str]:
    """The clause as people read it."""
    parties = parties_of(contract, clause)
    columns = "; ".join(f"{f.dataset}: {', '.join(f.columns)}" for f in clause.features)
    basis = (
        f"The people it is about have authorised it; evidence: {clause.evidence}"
        if clause.authorisation == "authorised-by-people"
        else "None of its rows is about people."
    )
    ways = {
        "hidden": "Rows are matched on shares: the matching tells nobody who is in both tables; exact figures over "
        "rows that somebody chose for it could tell of a few.",
        "open": "Rows are matched openly: the parties see which keys they have in common, and, for trees, "
        "which way each split sends each row.",
        "none": "Every party learns on its own rows; only sums over parties are opened.",
    }
    lines = [
        f"{clause.name!r} ({clause.kind}) predicts {clause.target.dataset}.{clause.target.column} from {columns}. "
        f"It may be trained {clause.maximum_trainings} times, on at least {clause.least_rows:,} rows, and ends "
        f"{clause.expiry_days} days after its training.",
        f"  {basis}",
        f"  {ways[clause.alignment]}",
        f"  {_parts(contract, clause)}",
        f"  Metrics go to {', '.join(clause.metrics) or 'nobody'}, p-values of own columns to "
        f"{', '.join(clause.p_values) or 'nobody'}. What is told is exact, without noise.",
    ]
    if clause.contributions:
        lines.append(
            f"  What each party adds is told to {', '.join(clause.contributions)}: how good a model is that every "
            f"coalition of the parties reaches, exact. There are {1 << (len(parties) - 1)}; it counts as so "
            "many trainings."
        )
    if clause.horizontal:
        lines[-1] = "  Each party judges the model on its own rows; nobody else is told."
        return lines
    if clause.scores:
        told = ", ".join(clause.scores)
        lines.append(
            f"  {told} may receive scores, exact, row by row, and so learn which of their rows all parties have."
            + (" With two parties a receiver can take its own part off and read the other's." if len(parties) == 2
               else "")
        )  # fmt: skip
    else:
        lines.append("  Nobody receives scores.")
    if clause.online == "hidden":
        lines.append(
            "  One row at a time may be scored, too; nobody else learns which row it is. Each time costs the "
            "price of a matching towards the seats."
        )
    if clause.online == "open-query":
        lines.append(
            "  One row at a time may be scored, too; then all parties of the model see which row it is."
        )
    return lines


def _parts(contract: Contract, clause: ModelClause) -> str:
    told, parties = ", ".join(clause.told(contract)), parties_of(contract, clause)
    if clause.horizontal:
        return f"{told} each end with the whole common model; sums over at least three parties are opened to them."
    what = "splits" if clause.kind in BOOSTING_KINDS else "coefficients"
    return (
        f"{told} get the {what} of their own columns only; nobody holds the whole model, which is split between "
        f"{', '.join(parties)}."
    )
