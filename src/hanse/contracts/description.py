"""A contract in plain language, for the people who must approve it.

Written from the terms alone, so that what a compliance officer reads is what the machines enforce.
"""

from __future__ import annotations

from hanse.contracts.accounting import spread
from hanse.contracts.crowds import crowds_in_words
from hanse.contracts.models import in_words as model_in_words
from hanse.contracts.qualifications import in_words
from hanse.contracts.terms import Column, Contract, Dataset
from hanse.contracts.truths import truth_in_words

# The whole of the trust that a contract buys; the wording is settled and quoted elsewhere.
TRUST = (
    "No single organisation, whether seat, provider, coordinator or analyst, can cause an opening "
    "that another party's gate refused. Two of the three seats acting together could; they could "
    "then also read everything uploaded for that job. That is the trust the contract buys, so it "
    "names the three legal entities, requires that none controls another, and limits what two "
    "could ever hold to the data of running jobs."
)

_PURPOSES = {
    "filter": "to choose which events count",
    "segment": "to break results down",
    "order": "to put events in order",
    "value": "to add up",
    "place": "to count people by place",
    "feature": "to learn from",
    "target": "to be predicted",
}
_BASES = {
    "consent": "consent",
    "contract": "a contract with the person",
    "legitimate-interest": "legitimate interest",
    "public-task": "a public task",
}


def describe(contract: Contract) -> str:
    """The contract as text: who gives what, who learns what, what noise, who could see what."""
    sections = [
        _heading(contract),
        ("Who gives what", [_dataset(contract, dataset) for dataset in contract.datasets]),
        *([("Which places", _places(contract))] if contract.gazetteers else []),
        *([("What the crowd is", _truths(contract))] if contract.truths else []),
        *([("Daily crowds", crowds_in_words(contract))] if contract.crowds else []),
        *([("What qualifies", _qualifications(contract))] if contract.qualifications else []),
        *([("Who learns what", _learning(contract))] if contract.computations else []),
        *([("Which models", _models(contract))] if contract.models else []),
        *(
            [("What protects people in the results", _protection(contract))]
            if contract.computations
            else []
        ),
        ("What the seats see while computing", _seats(contract)),
        *([("What it costs", _prices(contract))] if contract.prices is not None else []),
        ("Whom you trust", [TRUST, f"The parties state: {contract.independence}"]),
    ]
    blocks = []
    for title, lines in sections:
        blocks.append("\n".join([title, "-" * len(title), *lines]))
    return "\n\n".join(blocks) + "\n"


def _heading(contract: Contract) -> tuple[str, list[str]]:
    jobs = "one job" if contract.maximum_jobs == 1 else f"{contract.maximum_jobs} jobs"
    lines = [
        f"Contract {contract.id}, version {contract.version}. Purpose: {contract.purpose}",
        f"Valid from {contract.starts} until the day before {contract.expires}, "
        f"for at most {jobs}; working copies are kept for at most "
        f"{contract.retention_days} days.",
        "Parties:",
        *(f"  {party.name}: {party.organisation}" for party in contract.parties),
        f"Fingerprint that every party signs: {contract.hash}",
    ]
    return contract.title, lines


def _who(contract: Contract, name: str) -> str:
    party = contract.party(name)
    return f"{name} ({party.organisation})" if party else name


def _dataset(contract: Contract, dataset: Dataset) -> str:
    events = "one event" if dataset.slots == 1 else f"up to {dataset.slots} events"
    lines = [
        f"{_who(contract, dataset.provider)} gives {dataset.name!r}: up to {dataset.capacity:,} "
        f"rows, one per {'person' if dataset.personal else 'key'}, with {events} each."
    ]
    if dataset.personal and dataset.legal_basis is not None:
        lines.append(
            f"  This is data about people. Legal basis: {_BASES[dataset.legal_basis]}; "
            f"evidence: {dataset.evidence}"
        )
    else:
        lines.append("  The provider declares that this is not data about people.")
    lines += [f"  {_column(column)}" for column in dataset.columns]
    if not dataset.columns:
        lines.append("  No columns: only who is in it counts.")
    return "\n".join(lines)


def _column(column: Column) -> str:
    uses = " and ".join(_PURPOSES[use] for use in column.uses)
    text = f"{column.name} ({column.kind}) may be used {uses}"
    if column.values:
        shown = ", ".join(column.values[:12])
        more = len(column.values) - 12
        text += f"; possible values: {shown}" + (f" and {more} more" if more > 0 else "")
    if column.maximum is not None:
        text += f"; counted up to {column.maximum:,}"
    if column.gazetteer is not None:
        text += f"; places of the list {column.gazetteer!r}"
    return text + "."


def _places(contract: Contract) -> list[str]:
    lines = []
    for item in contract.gazetteers:
        text = f"{item.name!r}: {item.places:,} places, public, held by every party; digest {item.digest}."
        if item.excluded:
            text += f" No question may be about places of the types: {', '.join(item.excluded)}."
        lines.append(text)
    lines.append(
        "Nor about sensitive places: those of health, belief, need, children and the state's security."
    )
    return lines


def _truths(contract: Contract) -> list[str]:
    return [truth_in_words(item) for item in contract.truths]


def _qualifications(contract: Contract) -> list[str]:
    return [
        f"An event of {item.dataset!r} is {item.name!r} (version {item.version}: {item.title}) if "
        + " and ".join(in_words(test) for test in item.where)
        + "."
        for item in contract.qualifications
    ]


def _learning(contract: Contract) -> list[str]:
    lines = [
        f"{', '.join(_who(contract, name) for name in item.recipients)} may learn the results of "
        f"{item.name!r} over {', '.join(item.datasets)}."
        for item in contract.computations
    ]
    lines.append("Nobody else learns a result, and nobody is allowed any other computation.")
    return lines


def _models(contract: Contract) -> list[str]:
    lines = [line for clause in contract.models for line in model_in_words(contract, clause)]
    return [*lines, "No other model may be trained."]


def _protection(contract: Contract) -> list[str]:
    privacy = contract.privacy
    people = any(dataset.personal for dataset in contract.datasets)
    period = "calendar month" if privacy.period == "month" else "the life of the contract"
    lines = [
        f"A cell is shown only if its noised count shows at least k = {privacy.k} people; "
        "otherwise the word 'suppressed' is shown.",
    ]
    if people:
        lines += [
            f"Random noise that no party knows is added to every result about people: one query "
            f"may spend epsilon {privacy.epsilon_per_query:g}, which moves the smallest parts of a "
            f"result by up to {spread(privacy.epsilon_per_query / 2)} people each in 19 of 20 cases; a "
            "figure that adds up several parts moves more (less epsilon, more noise).",
            f"All results about one provider's people together may spend epsilon "
            f"{privacy.epsilon_budget:g} (at delta {privacy.delta:g}) per {period}; after that, "
            "queries are refused.",
        ]
    lines.append(
        f"Questions that are almost the same (a bound, a value, a condition or a crowd apart) are answered "
        f"{privacy.similar_questions} times per {period}; after that, they are refused."
    )
    if any(not dataset.personal for dataset in contract.datasets):
        lines.append(
            "Results only from data that is not about people may be shown without noise, "
            "under the same k."
        )
    return lines


def _seats(contract: Contract) -> list[str]:
    join = contract.join
    return [
        "The three seats compute on pieces of the data that say nothing alone. They are held by:",
        *(f"  seat {number}: {_who(contract, seat)}" for number, seat in enumerate(contract.seats)),
        f"People are matched by {join.id_type}, hashed at home with {join.hash}; the hash is not "
        "the protection, the splitting into pieces is.",
        "Each seat sees the declared number of rows per provider, how long things take, and how "
        "many anonymous entries two or more providers have in common, with noise: epsilon "
        f"{join.epsilon:g} and delta {join.delta:g} per matching, epsilon "
        f"{join.epsilon_budget:g} per period. A seat that also receives results knows both.",
        *_rosters(contract),
    ]


_UNITS = {
    "job": "for every job with a result",
    "dataset-use": "for every job that reads {dataset!r}",
    "epsilon": "for every unit of privacy budget spent on its people",
    "training": "for every training of a model",
    "thousand-values": "for every thousand values that are served to other systems",
    "month": "for every month begun",
}


def _prices(contract: Contract) -> list[str]:
    if contract.prices is None:
        return []
    currency = contract.prices.currency
    lines = []
    for price in contract.prices.terms:
        payer = "Whoever asks" if price.payer == "analyst" else _who(contract, price.payer)
        unit = _UNITS[price.unit].format(dataset=price.dataset)
        only = f" of {price.computation!r}" if price.computation else ""
        lines.append(
            f"{payer} pays {_who(contract, price.payee)} {currency} {price.amount} {unit}{only}."
        )
    return lines


def _rosters(contract: Contract) -> list[str]:
    days = contract.join.roster_days
    if not days:
        return []
    return [
        f"One matching may serve further jobs for {days} day{'s' if days > 1 else ''} (a roster): for so long "
        "seats keep in which secret order the rows were and which belong together, and providers the order of "
        "their people; those jobs show the seats nothing new."
    ]
