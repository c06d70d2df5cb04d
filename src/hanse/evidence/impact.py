"""The draft of an impact assessment from a contract: what machines know is filled in, the rest is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.contracts import Contract, Dataset
from hanse.contracts.models import in_words
from hanse.evidence.page import Page
from hanse.evidence.requirements import AID

BLANK = "to be written by the organisation"
_KINDS = {
    "category": "category", "integer": "number", "amount": "amount of money", "time": "time",
    "boolean": "yes or no", "place": "place (location of a person: sensitive)", "number": "number",
}  # fmt: skip


def impact_page(contract: Contract, party: str, spent: Mapping[str, Any] | None = None) -> bytes:
    """The draft for ``party``, a party to the contract; ``spent`` are its accounts by provider, if known."""
    page = Page(f"Impact assessment (draft): {contract.title}")
    page.warning(
        f"{AID} Generated from contract {contract.id}, version {contract.version} ({contract.hash})."
    )
    page.heading("1. The processing")
    page.table(
        ("item", "answer"),
        [
            ("Purpose", contract.purpose),
            ("Handlers", "; ".join(f"{p.name}: {p.organisation}" for p in contract.parties)),
            ("Assessed for", party),
            ("From, until", f"{contract.starts}, the day before {contract.expires}; {contract.maximum_jobs} jobs"),
            ("Working copies kept for", f"{contract.retention_days} days at most"),
            ("People matched by", f"{contract.join.id_type}, hashed at home with {contract.join.hash}"),
            ("Country of each node; transfers abroad", BLANK),
        ],
    )  # fmt: skip
    page.heading("2. The personal information")
    for dataset in contract.datasets:
        _dataset(page, dataset)
    page.heading("3. Purpose and method: lawful, legitimate, necessary")
    page.table(
        ("computation", "over", "who learns the result"),
        [(c.name, ", ".join(c.datasets), ", ".join(c.recipients)) for c in contract.computations],
    )
    for clause in contract.models:
        page.text("Model " + " ".join(line.strip() for line in in_words(contract, clause)))
    page.text(f"Necessity and proportion, and why a less intrusive way would not do: {BLANK}.")
    page.heading("4. Influence on people, and risks that remain")
    page.table(
        ("risk", "what limits it", "what remains"),
        [
            ("A person is found in a published figure",
             f"only figures of about k = {contract.privacy.k} people or more; noise of epsilon "
             f"{contract.privacy.epsilon_per_query:g} a question; at most epsilon "
             f"{contract.privacy.epsilon_budget:g} in all per {contract.privacy.period}",
             "a bounded gain for whoever knows everything else, as epsilon says"),
            ("A seat learns who is matched",
             f"padding and shuffling; epsilon {contract.join.epsilon:g} a matching, "
             f"{contract.join.epsilon_budget:g} in all", "noised sizes of overlaps"),
            ("Two seats act together",
             "three organisations hold the seats; the contract states their independence",
             "they could read what was uploaded for running jobs"),
            ("Figures are combined with others that the recipient has",
             f"near-identical questions: {contract.privacy.similar_questions} per {contract.privacy.period}",
             BLANK),
            ("Shares are taken from a node", "keys and copies end with the job or the retention period", BLANK),
            ("Influence on personal rights, reputation, property", _about_one_person(contract), BLANK),
        ],
    )  # fmt: skip
    if spent:
        page.table(
            ("provider", "questions so far", "epsilon spent", "of"),
            [
                (name, a["queries"], f"{a['spent']:.3g}", f"{a['budget']:g}")
                for name, a in spent.items()
            ],
            "Spent so far",
        )
    page.heading("5. Protective measures")
    page.text(
        "Rows leave an organisation only as secret shares, over mutually authenticated TLS; no seat can read what "
        "it holds. Each organisation's gate checks every job against its own copy of this contract and can "
        "refuse it. Every admission, refusal, debit and opening is chained and signed in each ledger. Withdrawn "
        "people drop out before hashing at the next run."
    )
    page.text(f"Measures within the organisation (access, training, incident plan): {BLANK}.")
    page.heading("6. Conclusion")
    page.table(
        ("department", "opinion", "date, signature"),
        [(d, BLANK, "") for d in ("data owner", "legal", "risk", "government affairs")],
    )
    return page.html()


def _about_one_person(contract: Contract) -> str:
    told = sorted({party for clause in contract.models for party in clause.scores})
    if not told:
        return "no figure about one person is produced"
    return f"{', '.join(told)} may receive scores of single people, who have authorised the model"


def _dataset(page: Page, dataset: Dataset) -> None:
    basis = dataset.legal_basis or "not-personal"
    evidence = dataset.evidence or "-"
    page.table(
        ("column", "kind", "used to"),
        [("(identifier)", "hashed at home", "match people")]
        + [(c.name, _KINDS.get(c.kind, c.kind), ", ".join(c.uses)) for c in dataset.columns],
        f"{dataset.name}, given by {dataset.provider}: up to {dataset.capacity:,} "
        f"{'people' if dataset.personal else 'rows'}; basis: {basis}; evidence: {evidence}",
    )  # fmt: skip
