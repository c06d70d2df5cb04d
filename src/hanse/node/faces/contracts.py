"""Contracts for the people who decide on them: lists, texts, clauses, differences, drafts, reviews, signatures."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from hanse.clock import Clock
from hanse.contracts import TRUST, Bundle, Contract, describe
from hanse.errors import Refusal
from hanse.node.contract_template import TEMPLATES, template, with_keys
from hanse.node.faces import facade, listing
from hanse.node.faces.listing import Page
from hanse.node.office import ENDED, LIVE, PENDING, SUSPENDED, NodeOffice, bundle_of
from hanse.node.people.reviews import DEPARTMENTS, reviews_of
from hanse.node.storage.store import StoredContract

Document = dict[str, Any]
STATES = (LIVE, PENDING, SUSPENDED, ENDED)
REVIEWERS = DEPARTMENTS
_REFUSALS_LOOKED_AT = 200
_WHERE = re.compile("[,;:] ")
_FROM = {SUSPENDED: (LIVE, PENDING), LIVE: (SUSPENDED,), ENDED: (LIVE, PENDING, SUSPENDED)}

__all__ = ["REVIEWERS", "STATES", "TEMPLATES", "TRUST"]


def contracts(
    office: NodeOffice, *, state: str = "", search: str = "", after: str = "", limit: int = 50
) -> Page:
    """The newest version of each contract, the last changed first."""
    page = listing.contract_page(
        office.store.database, state=state, search=search, after=after, limit=limit
    )
    used = office.spend.jobs_used_by_contract()
    return Page(
        [_row(office, stored, used.get(stored["id"], 0)) for stored in page.rows], page.next
    )


def refusals(office: NodeOffice, contract_id: str, limit: int = 5) -> list[Document]:
    """What this node's gate refused under a contract last, the newest first: ``where`` and code tell the clause."""
    found = []
    entries, _ = listing.ledger_page(
        office.store.database, kind="refusal", limit=_REFUSALS_LOOKED_AT
    )
    for entry in entries:
        body = entry.body
        where = str(body.get("where", ""))
        if f"contract {contract_id}" in _WHERE.split(where):
            found.append({k: str(body.get(k, "")) for k in ("job", "analyst", "code", "message", "remedy")}
                         | {"where": where, "at": entry.time})  # fmt: skip
    return found[:limit]


def counts(office: NodeOffice) -> dict[str, int]:
    """Versions in each state."""
    return listing.contract_counts(office.store.database)


def contract(office: NodeOffice, contract_id: str, version: int | None = None) -> Document:
    """A contract's terms, standing, versions and reviews."""
    stored = _stored(office, contract_id, version)
    bundle = bundle_of(stored)
    read = bundle.contract
    reviews = [r for r in reviews_of(office.ledger, contract_id) if r.hash == stored.hash]
    return {
        "id": read.id,
        "version": read.version,
        "title": read.title,
        "state": stored.state,
        "hash": stored.hash,
        "changed": stored.changed.isoformat(),
        "terms": read.fields(),
        "signed": sorted(bundle.signatures),
        "missing": list(bundle.missing()),
        "mine": office.party in bundle.signatures,
        "jobs": facade.jobs_used(office, read),
        "versions": listing.contract_versions(office.store.database, contract_id),
        "reviewers": list(office.reviewers),
        "reviews": [
            {"time": r.time, "department": r.department, "verdict": r.verdict, "comment": r.comment,
             "by": r.by}
            for r in reviews
        ],
    }  # fmt: skip


def words(office: NodeOffice, contract_id: str, version: int | None = None) -> str:
    """The contract in plain language, as the command line shows it."""
    return describe(bundle_of(_stored(office, contract_id, version)).contract)


def text(office: NodeOffice, contract_id: str, version: int | None = None) -> str:
    """The contract as the TOML document that was drafted."""
    return bundle_of(_stored(office, contract_id, version)).contract.to_toml()


def bundle_file(office: NodeOffice, contract_id: str, version: int | None = None) -> bytes:
    """Contract and signatures, for partners and auditors."""
    return bundle_of(_stored(office, contract_id, version)).to_json()


def changes(office: NodeOffice, contract_id: str, old: int, new: int) -> list[Document]:
    """What differs between two versions: where, before, after (None where it is not there), in reading order."""
    before = bundle_of(_stored(office, contract_id, old)).contract.fields()
    after = bundle_of(_stored(office, contract_id, new)).contract.fields()
    left, right = dict(_leaves(before)), dict(_leaves(after))
    places = list(dict.fromkeys([*left, *right]))
    return [
        {"where": place, "before": left.get(place), "after": right.get(place)}
        for place in places
        if left.get(place) != right.get(place)
    ]


def text_changes(office: NodeOffice, contract_id: str, old: int, new: int) -> str:
    """The same as a unified difference of the two texts."""
    lines = difflib.unified_diff(
        text(office, contract_id, old).splitlines(), text(office, contract_id, new).splitlines(),
        f"version {old}", f"version {new}", lineterm="",
    )  # fmt: skip
    return "\n".join(lines)


def draft_text(office: NodeOffice, name: str, clock: Clock) -> str:
    """A contract to start from, made of what this node knows."""
    return template(name, office, clock.now().date())


def draft(office: NodeOffice, document: str) -> Document:
    """Take in a contract that is written as TOML; parties without keys get those of their cards."""
    try:
        fields = tomllib.loads(document)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refusal("contract.malformed", f"the contract cannot be read: it is not TOML: {error}",
                      remedy="mend the line that the message names") from error  # fmt: skip
    made = Contract.from_fields(with_keys(fields, office))
    return _standing(office.import_bundle(Bundle(made)))


def next_version(office: NodeOffice, contract_id: str) -> str:
    """The newest text with the next version's number, to be changed and drafted."""
    newest = bundle_of(office.contract(contract_id)).contract
    return newest.model_copy(update={"version": newest.version + 1}).to_toml()


def take_in(office: NodeOffice, data: bytes) -> Document:
    """Take in a bundle: a contract, or the signatures that it brings."""
    try:
        bundle = Bundle.from_json(data.decode())
    except UnicodeDecodeError as error:
        raise Refusal("contract.malformed", "the bundle cannot be read: it is not text",
                      remedy="give the file that was exported") from error  # fmt: skip
    return _standing(office.import_bundle(bundle))


def sign(office: NodeOffice, contract_id: str, fingerprint: str) -> Document:
    """Sign as this party the text with this fingerprint, the one that was read.

    Raises `Refusal` ``contract.hash`` if another version has come meanwhile, and what signing raises.
    """
    stored = office.contract(contract_id)
    if stored.hash != fingerprint:
        raise Refusal("contract.hash", f"the newest text of {contract_id!r} is not the one that was read",
                      remedy="read the newest version, then sign it", where=f"contract {contract_id}")  # fmt: skip
    office.sign(contract_id)
    return _standing(office.contract(contract_id))


def review(
    office: NodeOffice, contract_id: str, department: str, verdict: str, comment: str, by: str
) -> Document:
    """A department's word on the newest version."""
    noted = office.review(contract_id, department, verdict, comment, by)
    return {"department": noted.department, "verdict": noted.verdict, "version": noted.version}


def move(office: NodeOffice, contract_id: str, state: str, reason: str) -> Document:
    """Suspend, resume (state live) or end a contract at this node; the reason is kept."""
    if not reason.strip():
        raise Refusal("contract.reason", "a contract is not moved without a reason",
                      remedy="say why; it is written into the ledger")  # fmt: skip
    before = office.contract(contract_id).state
    if before not in _FROM.get(state, ()):
        raise Refusal("contract.state", f"the contract {contract_id!r} is {before} at this node",
                      remedy="this can be done while it is "
                      + " or ".join(_FROM.get(state, ("in no state",))))  # fmt: skip
    office.set_state(contract_id, state, reason)
    return _standing(office.contract(contract_id))


def budgets(office: NodeOffice, contract_id: str, clock: Clock) -> Document:
    """The providers' privacy budgets under a contract, as this node's ledger has them."""
    read = facade.bundle(office, contract_id).contract
    return {
        "contract": read.id,
        "title": read.title,
        "jobs": facade.jobs_used(office, read),
        "maximum_jobs": read.maximum_jobs,
        "period": read.privacy.period,
        "accounts": [a.body() for a in facade.accounts(office, read, clock)],
    }


def _stored(office: NodeOffice, contract_id: str, version: int | None) -> StoredContract:
    newest = office.contract(contract_id)
    if version is None or version == newest.version:
        return newest
    found = office.store.contracts.get(contract_id, version)
    if found is None:
        raise Refusal("contract.unknown", f"there is no version {version} of {contract_id!r} here",
                      remedy=f"the newest is {newest.version}")  # fmt: skip
    return found


def _row(office: NodeOffice, stored: Mapping[str, Any], jobs: int) -> Document:
    """From the plain values: models of many contracts would take their time."""
    terms, signatures = stored["bundle"]["contract"], stored["bundle"]["signatures"]
    parties = [p["name"] for p in terms["parties"]]
    return {
        "id": stored["id"],
        "version": stored["version"],
        "title": terms["title"],
        "state": stored["state"],
        "hash": stored["hash"],
        "changed": stored["changed"],
        "starts": terms["starts"],
        "expires": terms["expires"],
        "parties": parties,
        "signed": sorted(signatures),
        "missing": [p for p in parties if p not in signatures],
        "mine": office.party in signatures,
        "jobs": jobs,
        "maximum_jobs": terms["maximum_jobs"],
        "computations": [c["name"] for c in terms.get("computations", [])],
    }


def _standing(stored: StoredContract) -> Document:
    signatures = stored.bundle["signatures"]
    parties = [p["name"] for p in stored.bundle["contract"]["parties"]]
    return {
        "id": stored.id,
        "version": stored.version,
        "state": stored.state,
        "hash": stored.hash,
        "signed": sorted(signatures),
        "missing": [p for p in parties if p not in signatures],
    }


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(where, value as text) of every plain value; list items by their name where they have one."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            named = item.get("name") or item.get("column") if isinstance(item, Mapping) else None
            yield from _leaves(item, f"{path}[{named or number + 1}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
