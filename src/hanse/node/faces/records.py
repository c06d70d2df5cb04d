"""The node's records as rows of plain values: partners, datasets, crowds, places, rosters, standing questions.

What the console and its API show and change; the command line prints the same things. Times are ISO text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from hanse.clock import Clock
from hanse.errors import Fault, HanseError, Refusal
from hanse.node.crowds import Made
from hanse.node.faces import facade
from hanse.node.faces.uploads import uploaded
from hanse.node.identity.cards import read_card, validity_problem
from hanse.node.identity.invitations import HOLDINGS, as_link, invite, read_invitation
from hanse.node.identity.partners import Partner
from hanse.node.jobs.rosters import ORDER, SEAT
from hanse.node.jobs.timetable import Timetable, next_slot
from hanse.node.office import NodeOffice
from hanse.node.storage.crowds import HELD

Document = dict[str, Any]
KINDS_OF_DATA = HOLDINGS  # what a partner may say it has


# --- partners ---------------------------------------------------------------------------------------


def own_card(office: NodeOffice) -> Document:
    """This node's card, to hand out, and the digits to read out."""
    card = office.identity.card
    return {"card": card.document(), "spoken": card.spoken}


def partners(office: NodeOffice, status: Mapping[str, Any] | None, clock: Clock) -> list[Document]:
    """Every partner; ``linked`` is None while the node does not run."""
    links = {link["party"]: link for link in (status or {}).get("links", [])}
    found = []
    for partner in office.directory().all():
        link = links.get(partner.name, {})
        certificate = partner.card.x509()
        problem = validity_problem(certificate, clock.now())
        found.append(
            {
                "party": partner.name,
                "organisation": partner.card.organisation,
                "address": f"{partner.address[0]}:{partner.address[1]}"
                if partner.address
                else None,
                "spoken": partner.card.spoken,
                "confirmed": partner.is_confirmed,
                "holds": list(partner.holds),
                "fingerprint": partner.fingerprint,
                "certificate_until": certificate.not_valid_after_utc.isoformat(),
                "certificate_problem": problem[1] if problem else "",
                "linked": bool(link.get("connected")) if status is not None else None,
                "version": link.get("version") or "",
                "bytes_sent": int(link.get("bytes_sent", 0)),
                "bytes_received": int(link.get("bytes_received", 0)),
                "problem": "" if link.get("connected") else str(link.get("problem", "")),
            }
        )
    return found


def add_partner(office: NodeOffice, card: bytes | Document, address: str) -> Document:
    """Add a partner by its card, or replace it. ``address`` is "host:port" or ""."""
    read = read_card(card)
    office.add_partner(Partner(read, _address(address)))
    return {"party": read.party, "organisation": read.organisation, "spoken": read.spoken}


def invitation(
    office: NodeOffice, clock: Clock, address: str, holds: Iterable[str], note: str
) -> Document:
    """A signed invitation for a partner: this node's card, its address, what data it has; a link, and as a file."""
    data = invite(office.identity, _address(address), holds, note, clock.now())
    return {"link": as_link(data), "file": data.decode(), "spoken": office.identity.card.spoken}


def accept_invitation(office: NodeOffice, clock: Clock, text: str, digits: str = "") -> Document:
    """Add the partner that sent an invitation; with ``digits`` (as it read them out) it is confirmed at once."""
    read = read_invitation(text.strip(), clock.now())
    card = read.identity()
    office.add_partner(Partner(card, read.address, read.holds))
    if digits.strip():
        office.confirm_partner(card.party, digits)
    return {"party": card.party, "organisation": card.organisation, "holds": list(read.holds),
            "note": read.note, "confirmed": bool(digits.strip())}  # fmt: skip


def confirm_partner(office: NodeOffice, party: str, digits: str) -> Document:
    """Note that the digits of a partner's card were compared by telephone."""
    office.confirm_partner(party, digits)
    return {"party": party, "confirmed": True}


def revoke_partner(office: NodeOffice, party: str, reason: str) -> Document:
    """End everything with a partner at once; the contracts that are suspended by it."""
    if not reason.strip():
        raise Refusal("partner.reason", "a partner is not revoked without a reason",
                      remedy="say why; it is written into the ledger")  # fmt: skip
    return {"party": party, "suspended": office.revoke_partner(party, reason[:500])}


def _address(text: str) -> tuple[str, int] | None:
    if not text.strip():
        return None
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    good = colon and host and port.isascii() and port.isdigit() and 0 < int(port) <= 65535
    if not good or any(c.isspace() for c in host) or len(host) > 255:
        raise Refusal("partner.address", "the address is not HOST:PORT",
                      remedy="write it like node.example.org:7470, or leave it out")  # fmt: skip
    return host, int(port)


# --- datasets ---------------------------------------------------------------------------------------


def datasets(office: NodeOffice) -> list[Document]:
    """Every registered dataset, in short."""
    return [
        {
            "name": d.name,
            "rows": d.registration["profile"]["rows"],
            "columns": [c["name"] for c in d.registration["dataset"]["columns"]],
            "ids": [i["type"] for i in d.registration["dataset"]["ids"]],
            "classification": d.registration["dataset"]["classification"],
            "description": d.registration["dataset"]["description"],
            "added": d.added.isoformat(),
        }
        for d in office.store.datasets.all()
    ]


def dataset(office: NodeOffice, name: str) -> Document:
    """A dataset's description and profile, and the contracts in which this node gives it."""
    stored = office.store.datasets.get(name)
    if stored is None:
        office.dataset(name)  # says in words that there is none
        raise Refusal(
            "dataset.crowd", f"{name!r} is a crowd package", remedy="look among the crowds"
        )
    return {
        "name": name,
        "added": stored.added.isoformat(),
        "dataset": stored.registration["dataset"],
        "profile": stored.registration["profile"],
        "contracts": facade.crowd_users(office, name),
    }


def register_dataset(office: NodeOffice, document: Document) -> Document:
    """Register a dataset. Files are on this node's machine and named by absolute paths."""
    lists = document.get("withdrawals")
    tables = [document.get("source"), *(lists if isinstance(lists, list) else [])]
    paths = [t.get("path") for t in tables if isinstance(t, dict)]
    derive = document.get("derive")
    paths.append(derive.get("schedule") if isinstance(derive, dict) else None)
    if any(isinstance(path, str) and not Path(path).is_absolute() for path in paths):
        raise Refusal("dataset.path", "a path in the description is not absolute",
                      remedy="name files as they lie on the node's machine, from the root on")  # fmt: skip
    profile: Document = office.register_dataset(document).model_dump(mode="json")
    return profile


def check_datasets(office: NodeOffice, name: str = "") -> list[Document]:
    """Read the data again (of one dataset, or of all); what keeps each from serving."""
    found = []
    for one in [name] if name else [d.name for d in office.store.datasets.all()]:
        rows: int | None = None
        problems: list[HanseError]
        try:
            profile, problems = facade.check_dataset(office, one)
            rows = profile.rows
        except HanseError as error:
            if name and error.code == "dataset.unregistered":
                raise
            problems = [error]
        found.append({"name": one, "rows": rows, "problems": [p.public() for p in problems]})
    return found


# --- crowd packages ---------------------------------------------------------------------------------


def crowds(office: NodeOffice, clock: Clock, name: str | None = None) -> list[Document]:
    """All versions of all packages (or of one), the newest first; never a member, never an exact size."""
    today = clock.now().date()
    serving: set[str] = set()
    found = []
    for stored, package in office.crowds.versions(name):
        state = "removed"
        if stored.state == HELD:
            state = "expired" if package.expired(today) else "in use"
            state = "replaced" if stored.name in serving else state
            serving.add(stored.name)
        found.append(
            {
                "name": package.name, "version": package.version, "state": state,
                "definition": package.in_words(), "purpose": package.purpose,
                "legal_basis": package.legal_basis, "evidence": package.evidence,
                "made_of": package.provenance.made_of, "digest": package.provenance.digest,
                "created": package.created.isoformat(), "expires": package.expires.isoformat(),
            }
        )  # fmt: skip
    return found


def crowd(office: NodeOffice, clock: Clock, name: str) -> Document:
    """One package: its versions, how many are in it roughly, the contracts that name it."""
    versions = crowds(office, clock, name)
    serving = any(v["state"] == "in use" for v in versions)
    return {
        "name": name,
        "versions": versions,
        "contracts": facade.crowd_users(office, name),
        "roughly": office.crowds.roughly(name) if serving else "",
    }


def make_crowd(office: NodeOffice, document: Document) -> Document:
    """Make a package or its next version. A list of ids lies on this node's machine, by its absolute path."""
    listed = document.get("listed")
    path = listed.get("path") if isinstance(listed, dict) else None
    if isinstance(path, str) and not Path(path).is_absolute():
        raise Refusal("crowd.path", "the path of the list is not absolute",
                      remedy="name it as it lies on the node's machine, from the root on")  # fmt: skip
    return _made(office.crowds.create(document))


def renew_crowd(office: NodeOffice, name: str, expires: str, evidence: str = "") -> Document:
    """Let the newest version serve longer."""
    try:
        day = date.fromisoformat(expires)
    except ValueError as error:
        raise Refusal("crowd.expires", f"{expires[:20]!r} is not a day",
                      remedy="write it like 2027-01-31") from error  # fmt: skip
    return _made(office.crowds.renew(name, day, evidence or None))


def remove_crowd(office: NodeOffice, name: str) -> Document:
    """Let no job use it; the contracts whose jobs are refused now."""
    office.crowds.remove(name)
    return {"name": name, "contracts": facade.crowd_users(office, name)}


def _made(made: Made) -> Document:
    package = made.package
    return {"name": package.name, "version": package.version, "definition": package.in_words(),
            "roughly": made.roughly, "expires": package.expires.isoformat()}  # fmt: skip


# --- places -----------------------------------------------------------------------------------------


def places(office: NodeOffice) -> list[Document]:
    """The lists of places that this node holds."""
    return [
        {"digest": h.digest, "places": h.places, "examples": list(h.examples)}
        for h in office.shelf.all()
    ]


def add_places(office: NodeOffice, name: str, data: bytes) -> Document:
    """Check a list of places (CSV or Parquet, by its file name) and keep it."""
    with uploaded(name, data) as path:
        held = office.shelf.add(path)
    return {"digest": held.digest, "places": held.places}


# --- rosters ----------------------------------------------------------------------------------------


def rosters(office: NodeOffice) -> list[Document]:
    """The rosters of which this node keeps something. ``kept``: seat, order, both or nothing but the note."""
    return [
        {"name": n.name, "contract": n.contract, "made_by": n.job, "made": n.made.isoformat(),
         "expires": n.expires.isoformat(), "providers": list(n.providers), "datasets": list(n.datasets),
         "kept": [part for part in (SEAT, ORDER) if office.rosters.has(n.job, part)]}
        for n in office.rosters.notes()
    ]  # fmt: skip


def remove_roster(office: NodeOffice, name: str) -> Document:
    """Delete what this node keeps of a roster."""
    found = [n for n in office.rosters.notes() if n.name == name]
    for one in found:
        office.rosters.remove(one.job)
        office.ledger.append("roster", {"name": name, "job": one.job, "removed": True})
    if not found:
        known = ", ".join(sorted({n.name for n in office.rosters.notes()})) or "none"
        raise Refusal("roster.unknown", f"this node keeps no roster {name[:64]!r}",
                      remedy=f"use one of those there are ({known})")  # fmt: skip
    return {"name": name}


# --- standing questions -----------------------------------------------------------------------------


def standing(office: NodeOffice, clock: Clock) -> list[Document]:
    """The standing questions: when each is asked next, and how its last run went."""
    now = clock.now()
    return [
        {"name": s.name, "contract": s.question["contract"], "computation": s.question["computation"],
         "question": s.question, "daily": s.daily, "roster": s.roster,
         "next": next_slot(s, now).isoformat(), "last": s.last.fields()}
        for s in _timetable(office, clock).all()
    ]  # fmt: skip


def add_standing(
    office: NodeOffice, clock: Clock, name: str, question: Document, daily: str, roster: str = ""
) -> Document:
    """Ask a question every day at ``daily`` (UTC) while the node runs."""
    if question.pop("roster", ""):
        raise Refusal("question.malformed", "a standing question's rosters change with time",
                      remedy="leave roster out of the question and give it beside it")  # fmt: skip
    made = _timetable(office, clock).add(name, question, daily, roster)
    return {
        "name": made.name,
        "daily": made.daily,
        "next": next_slot(made, clock.now()).isoformat(),
    }


def remove_standing(office: NodeOffice, clock: Clock, name: str) -> Document:
    """Ask it no more."""
    _timetable(office, clock).remove(name)
    return {"name": name}


def _timetable(office: NodeOffice, clock: Clock) -> Timetable:
    def no(_question: Any) -> Any:
        raise Fault("standing.asked", "only the running node asks standing questions")

    return Timetable(office.store.standing, office, clock, no)
