"""A contract to start from, and the keys that a draft may leave out."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from hanse import menu
from hanse.contracts.terms import USES_OF_KIND
from hanse.errors import Refusal
from hanse.node.models.template import MODEL_USES, model_blocks
from hanse.node.models.template import TEMPLATES as MODEL_TEMPLATES

if TYPE_CHECKING:
    from hanse.catalog.datasets import Dataset
    from hanse.node.identity.cards import IdentityCard
    from hanse.node.office import NodeOffice

CAMPAIGN = "campaign"  # the cross-scenario report: each stage at another organisation
TEMPLATES = (CAMPAIGN, *menu.MENU, *MODEL_TEMPLATES)

# What a campaign needs beside this node's own datasets: name, what it holds, whether it has times, columns.
_STAGES: tuple[tuple[str, str, bool, str], ...] = (
    ("exposures-offline", "who passed a screen while an advertisement played", True, "channel"),
    ("exposures-online", "who was shown an advertisement in an app or on a page", True, "channel"),
    ("mall-visits", "who came to the online mall", True, ""),
    ("store-visits", "who came to shopping malls and stores", True, ""),
    ("scans", "who scanned a code", True, ""),
    ("payments", "who paid, and came back to pay again", True, ""),
    ("topics", "who joined a brand topic", True, ""),
    ("people", "who could have been exposed, and where they live", False, "city"),
)

_HEAD = """\
# A contract between organisations. Lines that begin with # are notes; unknown keys are errors.
# Correct everything here, then: hanse contract draft FILE, show, sign, push.
format = 1
id = "{id}"                  # small letters, digits, hyphens
version = 1
title = "{title}"
purpose = "Say what is measured, for whom, and why these parties need it."
starts = {starts}
expires = {expires}                    # the last valid day is the day before
maximum_jobs = 100
seats = [{seats}]   # three different organisations, none controlled by another
independence = "No seat holder controls another or is controlled by the same owner."
retention_days = 30

[join]
id_type = "{id_type}"                      # phone | email | imei | oaid | idfa | gaid | mac | a name of your own
hash = "sha256"                         # or "md5+sha256" if any provider holds MD5 only
epsilon = 0.1                           # what the seats may see of who is in common, per matching
delta = 1e-8
epsilon_budget = 3.0
roster_days = 0                         # how long one matching may serve daily jobs, such as 31; 0: not at all

[privacy]
k = 100                                 # fewer people than this are never shown
epsilon_per_query = 1.0                 # at most 4; less means more noise
epsilon_budget = 10.0                   # all queries together, per provider and period
similar_questions = 10                  # almost the same question, a bound or a crowd apart: refused after so many
delta = 1e-8
period = "contract"                     # or "month"
"""


def template(name: str, office: NodeOffice, today: date) -> str:
    """The contract's text as TOML, with the parties and datasets that this node knows.

    It can be drafted as it is once the node knows two partners and has a dataset.
    """
    if name not in TEMPLATES:
        raise Refusal("contract.template", f"there is no template {name!r}",
                      remedy="use one of " + ", ".join(TEMPLATES))  # fmt: skip
    cards = [office.identity.card, *(p.card for p in office.directory().all())]
    names = [card.party for card in cards]
    seats = [*names, "a-second-party", "a-third-party"][:3]
    datasets = [office.dataset(stored.name) for stored in office.store.datasets.all()]
    datasets += [office.crowds.clause(crowd) for crowd in office.crowds.names()]
    types = [i.type for dataset in datasets for i in dataset.ids]
    model = name in MODEL_TEMPLATES
    blocks = [
        _HEAD.format(
            id="my-first-model" if model else "my-first-funnel",
            title="What we learn together" if model else "Who came from the campaign",
            starts=today,
            expires=today + timedelta(days=365),
            seats=", ".join(_text(s) for s in seats),
            id_type=types[0] if types else "phone",
        )
    ]
    blocks += [_party(card) for card in cards]
    if len(cards) < 3:
        blocks.append("# Add the other parties: 'hanse partner add CARD' makes them known here.\n")
    blocks += [_dataset(dataset, office.party, model=model) for dataset in datasets]
    listed = [dataset.name for dataset in datasets]
    if name == CAMPAIGN:
        others = [card.party for card in cards[1:]] or ["a-second-party", "a-third-party"]
        missing = [stage for stage in _STAGES if stage[0] not in listed]
        blocks += [
            _stage(*stage, provider=others[i % len(others)]) for i, stage in enumerate(missing)
        ]
        listed += [stage[0] for stage in missing]
    if model:
        partners = [card.party for card in cards[1:]] or ["a-second-party", "a-third-party"]
        return "\n".join([*blocks, *model_blocks(name, datasets, office.party, partners)])
    blocks.append(
        "# Add the datasets that partners give: they know their names, kinds and lists of values.\n"
    )
    computations = (
        ("journey", "funnel", "reach", "overlap", "lift") if name == CAMPAIGN else (name,)
    )
    blocks += [
        "[[computations]]\n"
        f"name = {_text(computation)}\n"
        f"recipients = [{_text(office.party)}]\n"
        f"datasets = [{', '.join(_text(n) for n in listed or ['a-dataset'])}]\n"
        for computation in computations
    ]
    return "\n".join(blocks)


def _stage(name: str, what: str, timed: bool, category: str, *, provider: str) -> str:
    """A stage of a campaign that this node has no data for: its provider corrects it."""
    lines = [
        "[[datasets]]",
        f"name = {_text(name)}                  # {what}; drop it if nobody has it",
        f"provider = {_text(provider)}",
        "capacity = 100000",
        "slots = 4",
        "personal = true",
        'legal_basis = "consent"',
        'evidence = "say where it is kept"',
    ]
    if timed:
        lines += ["[[datasets.columns]]", 'name = "at"', 'kind = "time"', 'uses = ["order"]']
    if category:
        lines += [
            "[[datasets.columns]]",
            f"name = {_text(category)}",
            'kind = "category"',
            'uses = ["filter", "segment"]',
            'values = ["one", "another"]',
        ]
    return "\n".join(lines) + "\n"


def _party(card: IdentityCard) -> str:
    return (
        "[[parties]]                             # keys come from the cards when this is drafted\n"
        f"name = {_text(card.party)}\n"
        f"organisation = {_text(card.organisation)}\n"
    )


def _dataset(dataset: Dataset, provider: str, *, model: bool = False) -> str:
    lines = [
        "[[datasets]]",
        f"name = {_text(dataset.name)}",
        f"provider = {_text(provider)}",
        "capacity = 100000                       # people, padded to this number; it is public",
        "slots = 1                               # a model needs one row per id"
        if model
        else "slots = 4                               # events kept per person, at most 32"
        if dataset.columns
        else "slots = 1                               # a crowd: it only says who is in it",
    ]
    if dataset.legal_basis == "not-personal":
        lines.append("personal = false")
    else:
        lines += [
            "personal = true",
            f"legal_basis = {_text(dataset.legal_basis)}",
            f"evidence = {_text(dataset.evidence or 'say where it is kept')}",
        ]
    for column in dataset.columns:
        possible = USES_OF_KIND[column.kind]
        uses = sorted(possible if model else possible - MODEL_USES or possible)
        lines += [
            "[[datasets.columns]]",
            f"name = {_text(column.name)}",
            f"kind = {_text(column.kind)}",
            f"uses = [{', '.join(_text(u) for u in uses)}]",
        ]
        if column.kind == "category":
            lines.append(
                'values = ["one", "another"]             # the public list; others are left out'
            )
        if column.kind == "place":
            lines.append('gazetteer = "places"                    # a list in [[gazetteers]]')
        if column.kind in ("integer", "amount"):
            lines.append("maximum = 100000                        # larger values count as this")
    return "\n".join(lines) + "\n"


def with_keys(fields: dict[str, Any], office: NodeOffice) -> dict[str, Any]:
    """The draft with the keys of known cards filled in where a party has none.

    Raises `Refusal` ``contract.card`` for a party without keys whose card this node does not have.
    """
    cards = {p.name: p.card for p in office.directory().all()}
    cards[office.party] = office.identity.card
    parties = fields.get("parties")
    for party in parties if isinstance(parties, list) else []:
        if not isinstance(party, dict) or {"signing_key", "certificate"} & set(party):
            continue
        card = cards.get(str(party.get("name")))
        if card is None:
            raise Refusal(
                "contract.card",
                f"the draft gives no keys for {str(party.get('name'))[:64]!r}, "
                "and this node does not have its card",
                remedy="add its card with 'hanse partner add', or write signing_key and certificate",
                where="parties",
            )
        party["signing_key"] = card.signing_key
        party["certificate"] = card.fingerprint
    return fields


def _text(value: str) -> str:
    """A TOML string: JSON's escapes are a subset of TOML's, except for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
