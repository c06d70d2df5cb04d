"""Which part of an evidence pack speaks to which item that regulators and testers ask about.

A working aid: the items are paraphrased, the law's text decides, and nobody's advice is replaced. Sources: Personal
Information Protection Law of the PRC (2021), articles 13, 17, 23, 28, 29, 38, 51, 54 to 56; JR/T 0196-2020
(multi-party computation in finance); CAICT's tests of privacy-preserving computation.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.evidence.page import Page

AID = (
    "A working aid, not legal advice: items are paraphrased, and whether a requirement is met is for the "
    "organisation's own counsel to decide."
)


@dataclass(frozen=True)
class Item:
    """One thing that is asked, what of it the pack shows and where, and what people must add."""

    asked: str
    shown: str
    where: str
    add: str = ""


FRAMEWORKS: dict[str, tuple[Item, ...]] = {
    "Impact assessment 个人信息保护影响评估 (PIPL, articles 55 and 56)": (
        Item("Purpose and method are lawful, legitimate and necessary",
             "purpose, computations allowed, columns with what each may be used for",
             "contract/contract.txt, impact-assessment.html",
             "why a less intrusive way would not do"),
        Item("Influence on individuals' rights and the security risk",
             "what was opened, to whom, over at least k people, with which noise; what each seat could see",
             "jobs/, impact-assessment.html",
             "the organisation's own judgement of the risk that remains"),
        Item("Protective measures are lawful, effective and fit the risk",
             "threshold, noise, budgets, who can refuse; the trust that is assumed, in words",
             "contract/contract.txt, impact-assessment.html"),
        Item("Report and processing records kept for at least three years",
             "this pack, with the ledger that proves it", "manifest.json, ledger.jsonl",
             "where the pack is kept, and for how long"),
    ),
    "Handling personal information (PIPL, other articles)": (
        Item("Legal basis (article 13)", "legal basis of every dataset, and where its evidence is kept",
             "contract/bundle.json", "the consent forms themselves"),
        Item("Notice (article 17)", "", "", "the notice given to the people concerned"),
        Item("Providing to another handler, separate consent (article 23)",
             "recipients, purposes and kinds of data per dataset; nothing readable about a person is provided, "
             "secret shares are and remain personal data", "contract/contract.txt",
             "the separate consents; names and contacts of recipients as notified"),
        Item("Sensitive personal information (articles 28 and 29)",
             "column kinds; sensitive places refused to every question", "contract/bundle.json",
             "classification of each column by the data owner"),
        Item("Transfer abroad (article 38)", "", "", "in which country each node stands"),
        Item("Security measures (article 51)",
             "secret sharing, mutual TLS, keys and certificates pinned in the contract", "contract/bundle.json",
             "access control and training within the organisation"),
        Item("Compliance audits (article 54)", "the whole pack, which verifies offline", "README.txt"),
        Item("Handling logs show what was done (article 56)",
             "every admission, refusal, permit, debit and opening, in a signed chain", "ledger.jsonl"),
    ),
    "Multi-party computation in finance (JR/T 0196-2020)": (
        Item("At least two data parties and two computing parties; one entity holds one computing role",
             "providers and the three seats, by organisation, with the statement of independence",
             "contract/contract.txt", "who controls each organisation"),
        Item("Authorisation of data use before computing",
             "signatures of all parties, reviews by departments, a signed permit per job and party",
             "contract/, reviews.json, ledger.jsonl"),
        Item("Evidence kept by every party", "each party's node keeps its own chain and can make its own pack",
             "ledger.jsonl", "partners' packs, to compare heads and jobs"),
        Item("Protocol and security parameters stated",
             "honest majority of three seats, semi-honest; parameters in the claims pages of this version",
             "code.json, manifest.json"),
        Item("Inputs, intermediate values and outputs are protected",
             "what was opened, and that nothing else was: every opening is in the record that the seats compared",
             "jobs/, ledger.jsonl"),
    ),
    "CAICT 中国信通院 tests of privacy-preserving computation": (
        Item("Correctness against a plain computation", "", "",
             "the conformance suite of this code version: every computation against its plain twin"),
        Item("Data do not leave in readable form", "kinds of messages and openings per job", "jobs/",
             "a capture of traffic, if the tester asks for one"),
        Item("Authorisation, logging, audit", "contract, permits, chained ledger", "contract/, ledger.jsonl"),
        Item("Version under test", "version and SHA-256 of every file of the code", "code.json"),
    ),
}  # fmt: skip


def requirements_page() -> bytes:
    """The mapping as a page."""
    page = Page("What this pack shows, by requirement")
    page.warning(AID)
    for framework, items in FRAMEWORKS.items():
        page.heading(framework)
        page.table(
            ("asked", "shown by the pack", "where", "to be added by people"),
            [(i.asked, i.shown or "nothing", i.where or "-", i.add or "-") for i in items],
        )
    return page.html()
