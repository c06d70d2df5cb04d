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
            "gazetteers", "qualifications", "models", "crowds", "truths", "prices",
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
    "models": frozenset(
        {"name", "kind", "target", "features", "alignment", "authorisation", "evidence", "coefficients", "p_values",
         "metrics", "contributions", "scores", "online", "maximum_trainings", "least_rows", "expiry_days",
         "maximum_trees"}
    ),
    "crowds": frozenset(
        {"name", "gazetteer", "owners", "signals", "tables", "recipients", "days_ahead", "history_days",
         "retrain_days", "maximum_trainings", "expiry_days"}
    ),
    "truths": frozenset(
        {"name", "title", "measures", "provider", "gazetteer", "error", "lateness", "zone", "day_starts",
         "minimum_stay", "leaves_out"}
    ),
    "prices": frozenset({"currency", "terms", "purchases"}),
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


# Which section of a contract says what a refusal rests on, by the beginnings of codes; the longest counts.
_SECTIONS: Mapping[str, str] = {
    "contract.": "purpose", "contract.analyst": "purpose", "contract.computation": "learns",
    "contract.recipient": "learns", "contract.dataset": "gives", "contract.column": "gives",
    "contract.purpose": "gives", "contract.value": "gives", "contract.time": "gives",
    "contract.qualification": "qualifies", "contract.gazetteer": "places", "places.": "places",
    "gazetteer.": "places", "contract.noise": "protects", "contract.epsilon": "protects",
    "contract.join": "seats", "budget.spent": "protects", "budget.join": "seats", "guard.": "protects",
    "gate.": "protects", "roster.": "seats", "model.": "models", "crowd.": "crowds",
}  # fmt: skip


def clause_of(code: str) -> str:
    """The key of the section that a refusal's code is about; "" if none says it."""
    known = [begin for begin in _SECTIONS if code.startswith(begin)]
    return _SECTIONS[max(known, key=len)] if known else ""


def clauses(terms: Terms, t: Words, party: str, trust: str) -> list[Section]:
    """All sections. ``trust`` is the settled English wording of what two seats could do."""
    w = _Writer(terms, t, party)
    sections = [
        Section("purpose", t("clause.purpose.title"), w.purpose()),
        Section("gives", t("clause.gives.title"), tuple(w.dataset(d) for d in terms["datasets"])),
        Section("places", t("clause.places.title"), w.places()),
        Section("qualifies", t("clause.qualifies.title"), w.qualifications()),
        Section("learns", t("clause.learns.title"), w.learning()),
        Section("models", t("clause.models.title"), w.models()),
        Section("crowds", t("clause.crowds.title"), w.crowds()),
        Section("prices", t("clause.prices.title"), w.prices()),
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
        more = self.terms.get("models") or self.terms.get("crowds")
        nobody = t("clause.learns.besides") if more else t("clause.learns.nobody")
        return (*found, Clause(nobody))

    def models(self) -> tuple[Clause, ...]:
        return tuple(map(self.model, self.terms.get("models") or []))

    def model(self, model: Terms) -> Clause:
        t, target, owners = self.t, model["target"], self.owners()
        parties = sorted(
            {owners.get(f["dataset"], "") for f in model["features"]}
            | {owners.get(target["dataset"], "")}
        )
        items = [t("clause.models.columns", party=self.who(owners.get(f["dataset"], "")), dataset=f["dataset"],
                   columns=t("list.comma").join(f["columns"])) for f in model["features"]]  # fmt: skip
        beside = [target[k] for k in ("weight", "offset") if target.get(k)]
        if beside:
            items.append(t("clause.models.beside", columns=t("list.comma").join(beside)))
        if model["authorisation"] == "authorised-by-people":
            items.append(t("clause.models.people", evidence=model.get("evidence") or ""))
        else:
            items.append(t("clause.models.impersonal"))
        items.append(t(f"clause.model_rows.{model['alignment']}"))
        for key in ("coefficients", "metrics", "p_values", "contributions", "scores"):
            told = model.get(key) or (parties if key == "coefficients" else [])
            if told:
                items.append(t(f"clause.model_told.{key}", who=self.all(told)))
        if not model.get("scores"):
            items.append(t("clause.models.no_scores"))
        if model.get("online", "no") != "no":
            items.append(t(f"clause.model_online.{model['online']}"))
        if model["kind"] == "boosting":
            items.append(t("clause.models.trees", count=model.get("maximum_trees", 100)))
        text = t("clause.models.may", name=model["name"], kind=t.of("model_kind", model["kind"]),
                 target=f"{target['dataset']}.{target['column']}", times=model["maximum_trainings"],
                 rows=f"{model['least_rows']:,}", days=model["expiry_days"])  # fmt: skip
        return Clause(text, tuple(items), self.party in parties)

    def owners(self) -> dict[str, str]:
        """Who provides each dataset."""
        return {d["name"]: d["provider"] for d in self.terms["datasets"]}

    def crowds(self) -> tuple[Clause, ...]:
        t = self.t
        found = []
        for truth in self.terms.get("truths") or []:
            starts, error = truth.get("day_starts", "00:00"), f"{truth['error']:.0%}"
            items = [
                t("clause.crowds.truth_day", zone=truth["zone"], starts=starts),
                t("clause.crowds.truth_error", error=error, days=truth["lateness"]),
            ]
            if truth.get("minimum_stay"):
                items.append(t("clause.crowds.truth_stay", minutes=truth["minimum_stay"]))
            if truth.get("leaves_out"):
                left = t("list.comma").join(t.of("left_out", x) for x in truth["leaves_out"])
                items.append(t("clause.crowds.truth_left", groups=left))
            text = t("clause.crowds.truth", name=truth["name"], title=truth["title"],
                     who=self.who(truth["provider"]), measure=t.of("measure", truth["measures"]),
                     places=truth["gazetteer"])  # fmt: skip
            found.append(Clause(text, tuple(items), truth["provider"] == self.party))
        return (*found, *(self.crowd(crowd) for crowd in self.terms.get("crowds") or []))

    def crowd(self, crowd: Terms) -> Clause:
        t, owners = self.t, self.owners()
        items = [t("clause.crowds.counts", who=self.who(owners.get(o["dataset"], "")), dataset=o["dataset"],
                   truth=o["truth"]) for o in crowd["owners"]]  # fmt: skip
        items += [t("clause.crowds.signal", who=self.who(owners.get(s["dataset"], "")), dataset=s["dataset"],
                    column=s["value"], days=s["lateness"]) for s in crowd.get("signals") or []]  # fmt: skip
        items += [t("clause.crowds.table", who=self.who(owners.get(s["dataset"], "")), dataset=s["dataset"],
                    columns=t("list.comma").join(s["values"])) for s in crowd.get("tables") or []]  # fmt: skip
        items.append(t("clause.crowds.trained", days=crowd.get("retrain_days", 7), times=crowd["maximum_trainings"],
                       history=crowd.get("history_days", 800), expiry=crowd["expiry_days"]))  # fmt: skip
        text = t("clause.crowds.told", name=crowd["name"], places=crowd["gazetteer"],
                 who=self.all(crowd["recipients"]), days=crowd.get("days_ahead", 7))  # fmt: skip
        return Clause(text, tuple(items), self.party in crowd["recipients"])

    def prices(self) -> tuple[Clause, ...]:
        t, prices = self.t, self.terms.get("prices")
        if not prices:
            return ()
        items = []
        for term in prices["terms"]:
            payer = t("value.analyst") if term["payer"] == "analyst" else self.who(term["payer"])
            what = " ".join(
                x for x in (t.of("unit", term["unit"]), term.get("dataset"), term.get("model")) if x
            )
            if term.get("computation"):
                what += f" ({t.of('computation', term['computation'])})"
            items.append(t("clause.prices.pays", payer=payer, payee=self.who(term["payee"]),
                           currency=prices["currency"], amount=term["amount"], what=what))  # fmt: skip
        items += [t("clause.prices.copy", dataset=p["dataset"], currency=prices["currency"], amount=p["amount"],
                    source=p["source"]) for p in prices.get("purchases") or []]  # fmt: skip
        mine = any(self.party in (x["payer"], x["payee"]) for x in prices["terms"])
        return (Clause(t("clause.prices.owed"), tuple(items), mine),)

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
    for kind in ("computations", "models", "crowds", "truths"):
        parts += [(kind, part["name"], part) for part in terms.get(kind) or []]
    if terms.get("prices"):
        parts.append(("prices", "prices", terms["prices"]))
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
