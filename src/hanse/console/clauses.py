"""A contract as sentences, in the reader's language, written from the very terms that the nodes enforce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hanse.console.wording import Words

Terms = Mapping[str, Any]
_VALUES = 12
# What the sentences say. A term that is not here is shown as it stands: nobody signs what was not shown.
_SAID: Mapping[str, frozenset[str]] = {
    "": frozenset(
        (
            "format", "id", "version", "title", "purpose", "starts", "expires", "maximum_jobs", "seats",
            "independence", "retention_days", "join", "privacy", "parties", "datasets", "computations",
            "gazetteers", "qualifications",
        )
    ),
    "join": frozenset({"id_type", "hash", "epsilon", "delta", "epsilon_budget", "roster_days"}),
    "privacy": frozenset(
        {"k", "epsilon_per_query", "epsilon_budget", "delta", "period", "similar_questions"}
    ),
    "datasets": frozenset(
        {"name", "provider", "capacity", "slots", "personal", "legal_basis", "evidence", "columns"}
    ),
    "columns": frozenset({"name", "kind", "uses", "values", "maximum", "gazetteer"}),
    "computations": frozenset({"name", "recipients", "datasets"}),
}  # fmt: skip


@dataclass(frozen=True)
class Clause:
    """A sentence, and what it lists. ``mine`` marks what is about the reader's own organisation."""

    text: str
    items: tuple[str, ...] = ()
    mine: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and its clauses; ``key`` names it in the page's address."""

    key: str
    title: str
    clauses: tuple[Clause, ...]


def clauses(terms: Terms, t: Words, party: str, trust: str) -> list[Section]:
    """All sections. ``trust`` is the settled English wording of what two seats could do."""
    w = _Writer(terms, t, party)
    sections = [
        Section("purpose", t("clause.purpose.title"), w.purpose()),
        Section("gives", t("clause.gives.title"), tuple(w.dataset(d) for d in terms["datasets"])),
        Section("places", t("clause.places.title"), w.places()),
        Section("qualifies", t("clause.qualifies.title"), w.qualifications()),
        Section("learns", t("clause.learns.title"), w.learning()),
        Section("protects", t("clause.protects.title"), w.protection()),
        Section("seats", t("clause.seats.title"), w.seats()),
        Section("further", t("clause.further.title"), w.further()),
        Section("trust", t("clause.trust.title"), w.trust(trust)),
    ]
    return [section for section in sections if section.clauses]


class _Writer:
    def __init__(self, terms: Terms, t: Words, party: str) -> None:
        self.terms, self.t, self.party = terms, t, party
        self.names = {p["name"]: p["organisation"] for p in terms["parties"]}

    def who(self, name: str) -> str:
        return self.t("clause.who", name=name, organisation=self.names.get(name, ""))

    def all(self, names: Any) -> str:
        return self.t("list.comma").join(self.who(n) for n in names)

    def purpose(self) -> tuple[Clause, ...]:
        terms, t = self.terms, self.t
        return (
            Clause(terms["purpose"]),
            Clause(t("clause.purpose.valid", starts=terms["starts"], expires=terms["expires"],
                     jobs=f"{terms['maximum_jobs']:,}", days=terms["retention_days"])),
            Clause(t("clause.purpose.parties"), tuple(self.who(p["name"]) for p in terms["parties"])),
        )  # fmt: skip

    def dataset(self, dataset: Terms) -> Clause:
        t = self.t
        personal = dataset.get("personal", True)
        items = [
            t("clause.gives.personal", basis=t.of("basis", dataset.get("legal_basis", "")),
              evidence=dataset.get("evidence", ""))
            if personal
            else t("clause.gives.impersonal")
        ]  # fmt: skip
        items += [self.column(column) for column in dataset.get("columns", [])]
        if not dataset.get("columns"):
            items.append(t("clause.gives.members"))
        text = t("clause.gives.rows", who=self.who(dataset["provider"]), name=dataset["name"],
                 capacity=f"{dataset['capacity']:,}", slots=dataset["slots"])  # fmt: skip
        return Clause(text, tuple(items), dataset["provider"] == self.party)

    def column(self, column: Terms) -> str:
        t = self.t
        uses = t("list.comma").join(t.of("use", use) for use in column["uses"])
        text = t(
            "clause.gives.column", name=column["name"], kind=t.of("kind", column["kind"]), uses=uses
        )
        values = column.get("values") or []
        if values:
            text += t("clause.gives.values", values=t("list.comma").join(values[:_VALUES]))
            if len(values) > _VALUES:
                text += t("clause.gives.more", count=len(values) - _VALUES)
        if column.get("maximum") is not None:
            text += t("clause.gives.maximum", maximum=f"{column['maximum']:,}")
        if column.get("gazetteer"):
            text += t("clause.gives.gazetteer", name=column["gazetteer"])
        return text

    def places(self) -> tuple[Clause, ...]:
        found = [
            Clause(
                self.t(
                    "clause.places.list",
                    name=g["name"],
                    places=f"{g['places']:,}",
                    digest=g["digest"],
                ),
                (self.t("clause.places.excluded", types=self.t("list.comma").join(g["excluded"])),)
                if g.get("excluded")
                else (),
            )
            for g in self.terms.get("gazetteers", [])
        ]
        return (*found, Clause(self.t("clause.places.sensitive"))) if found else ()

    def qualifications(self) -> tuple[Clause, ...]:
        return tuple(
            Clause(
                self.t("clause.qualifies.event", dataset=q["dataset"], name=q["name"], version=q["version"],
                       title=q["title"]),
                tuple(_test(test) for test in q["where"]),
            )
            for q in self.terms.get("qualifications", [])
        )  # fmt: skip

    def learning(self) -> tuple[Clause, ...]:
        t = self.t
        found = [
            Clause(
                t("clause.learns.may", who=self.all(c["recipients"]), computation=t.of("computation", c["name"]),
                  datasets=t("list.comma").join(c["datasets"])),
                mine=self.party in c["recipients"],
            )
            for c in self.terms.get("computations", [])
        ]  # fmt: skip
        return (*found, Clause(t("clause.learns.nobody")))

    def protection(self) -> tuple[Clause, ...]:
        t, privacy = self.t, self.terms["privacy"]
        period = t.of("period", privacy["period"])
        people = any(d.get("personal", True) for d in self.terms["datasets"])
        found = [Clause(t("clause.protects.k", k=privacy["k"]))]
        if people:
            found += [
                Clause(t("clause.protects.noise", epsilon=f"{privacy['epsilon_per_query']:g}")),
                Clause(t("clause.protects.budget", epsilon=f"{privacy['epsilon_budget']:g}",
                         delta=f"{privacy['delta']:g}", period=period)),
            ]  # fmt: skip
        similar = privacy.get("similar_questions", 10)
        found.append(Clause(t("clause.protects.similar", count=similar, period=period)))
        if any(not d.get("personal", True) for d in self.terms["datasets"]):
            found.append(Clause(t("clause.protects.impersonal")))
        return tuple(found)

    def seats(self) -> tuple[Clause, ...]:
        t, join = self.t, self.terms["join"]
        seats = tuple(
            t("clause.seats.seat", number=i, who=self.who(s))
            for i, s in enumerate(self.terms["seats"])
        )
        found = [
            Clause(t("clause.seats.held"), seats, self.party in self.terms["seats"]),
            Clause(t("clause.seats.join", type=join["id_type"], hash=join["hash"])),
            Clause(t("clause.seats.sees", epsilon=f"{join['epsilon']:g}", delta=f"{join['delta']:g}",
                     budget=f"{join['epsilon_budget']:g}")),
        ]  # fmt: skip
        if join.get("roster_days"):
            found.append(Clause(t("clause.seats.roster", days=join["roster_days"])))
        return tuple(found)

    def further(self) -> tuple[Clause, ...]:
        """What no sentence above says, as it stands in the document."""
        found: dict[str, list[str]] = {}
        for where, key, value in _unsaid(self.terms):
            found.setdefault(where, []).extend(f"{at}: {text}" for at, text in _leaves(value, key))
        if not found:
            return ()
        told = [
            Clause(where or self.t("clause.further.contract"), tuple(items))
            for where, items in found.items()
        ]
        return (Clause(self.t("clause.further.about")), *told)

    def trust(self, english: str) -> tuple[Clause, ...]:
        said = english if self.t.language == "en" else self.t("clause.trust.two")
        independence = self.t("clause.trust.independence", said=self.terms["independence"])
        return Clause(said), Clause(independence)


def _test(test: Terms) -> str:
    """A test of a qualification, as a formula: it names a column and values."""
    parts = [f"= {test['equals']}"] if test.get("equals") is not None else []
    parts += [f"∈ {{{', '.join(map(str, test['one_of']))}}}"] if test.get("one_of") else []
    parts += [f"≥ {test['at_least']}"] if test.get("at_least") is not None else []
    parts += [f"≤ {test['at_most']}"] if test.get("at_most") is not None else []
    return f"{test['column']} {' '.join(parts)}"


def _unsaid(terms: Terms) -> Iterator[tuple[str, str, Any]]:
    """(where, key, value) of every term that the sentences do not say."""
    parts: list[tuple[str, str, Terms]] = [("", "", terms), ("join", "join", terms["join"])]
    parts.append(("privacy", "privacy", terms["privacy"]))
    for dataset in terms["datasets"]:
        parts.append(("datasets", dataset["name"], dataset))
        parts += [
            ("columns", f"{dataset['name']}.{c['name']}", c) for c in dataset.get("columns", [])
        ]
    parts += [("computations", c["name"], c) for c in terms.get("computations", [])]
    for kind, where, part in parts:
        for key, value in part.items():
            if key not in _SAID[kind] and value not in (None, [], {}):
                yield where, key, value


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}")
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            named = item.get("name") if isinstance(item, Mapping) else None
            yield from _leaves(item, f"{path}[{named or number + 1}]")
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
