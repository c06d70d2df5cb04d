"""Making an evidence pack from a node's own records: everything about one contract, and nothing about others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import hanse
from hanse.contracts import Contract, JobRequest, describe
from hanse.errors import Refusal
from hanse.evidence.impact import impact_page
from hanse.evidence.page import Page
from hanse.evidence.requirements import AID, requirements_page
from hanse.evidence.verifier import FORMAT, MANIFEST, PACK_PREFIX, SIGNATURE, packed
from hanse.ledger import GENESIS, Entry
from hanse.node.faces import facade
from hanse.node.office import NodeOffice, bundle_of
from hanse.node.storage.jobs import Job
from hanse.node.storage.store import StoredContract
from hanse.wire.codec import canonical

MOST_JOBS = 1_000_000
README = """An evidence pack of Hanse. To verify it without a node:

    hanse evidence verify PACK.zip

or, on a machine that has only Python 3.11 or newer, with the verifier that 'hanse evidence verifier' writes
(take it from your own installation, not from whoever gave you the pack):

    python verifier.py PACK.zip --key PARTY=HEX

index.html is the cover; contract/ has the text that was signed; jobs/ one file per job; ledger.jsonl the chain, in
which entries that do not concern this contract are sealed; code.json the version and hashes of the code.
"""


def make_pack(office: NodeOffice, contract_id: str, made: datetime) -> bytes:
    """The pack of a contract, all its versions and jobs, signed with this party's key.

    Raises `Refusal` ``contract.unknown``, or ``evidence.ledger`` if this node's ledger does not hold.
    """
    verdict = facade.verify_ledger(office)
    if not verdict.ok:
        raise Refusal("evidence.ledger", f"the ledger is broken at entry {verdict.first_bad}: {verdict.reason}",
                      remedy="keep the store as it is, and see 'hanse ledger verify'")  # fmt: skip
    versions = [c for c in office.store.contracts.all() if c.id == contract_id]
    newest = office.contract(contract_id)
    contract = bundle_of(newest).contract
    hashes = {c.hash for c in versions}
    jobs = [j for j in office.store.jobs.all(limit=MOST_JOBS) if j.contract in hashes]
    entries = list(office.ledger.entries())
    shown = {e.sequence for e in concerning(entries, contract, {j.job for j in jobs}, hashes)}
    openings = {e.body["job"]: e.body["openings"] for e in entries if e.kind == "disclosure"}
    accounts = {a.provider: a.body() for a in facade.accounts(office, contract)}
    parts = {
        **{f"contract/version-{c.version}.json": bundle_of(c).to_json() for c in versions},
        "contract/contract.txt": describe(contract).encode(),
        "reviews.json": _json([
            {"time": e.time, **e.body} for e in entries if e.kind == "review" and e.sequence in shown
        ]),
        **{f"jobs/{j.job}.json": _json(_job(office, j, openings)) for j in jobs},
        "ledger.jsonl": b"".join(
            (e.line() if e.sequence in shown else e.sealed().line()).encode() + b"\n" for e in entries
        ),
        "code.json": _json({"version": hanse.__version__, "files": code_hashes()}),
        "index.html": _cover(office, newest, jobs, made),
        "requirements.html": requirements_page(),
        "impact-assessment.html": impact_page(contract, office.party, accounts),
        "README.txt": README.encode(),
    }  # fmt: skip
    manifest = _json({
        "format": FORMAT,
        "party": office.party,
        "made": made.isoformat(timespec="seconds"),
        "hanse": hanse.__version__,
        "contract": {"id": contract.id, "version": contract.version, "hash": contract.hash},
        "ledger": {"entries": len(entries), "head": entries[-1].hash if entries else GENESIS},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(parts.items())},
    })  # fmt: skip
    seal = office.identity.signing_key.sign(PACK_PREFIX + hashlib.sha256(manifest).digest())
    return packed({**parts, MANIFEST: manifest, SIGNATURE: seal.hex().encode()})


def concerning(
    entries: Iterable[Entry], contract: Contract, jobs: set[str], hashes: set[str]
) -> list[Entry]:
    """The entries about the contract: its texts, reviews, partners, datasets and jobs."""
    parties = {p.name for p in contract.parties}
    datasets = {d.name for d in contract.datasets}
    found = []
    for entry in entries:
        body = entry.body
        about = (
            body.get("job") in jobs
            or (entry.kind == "contract" and body.get("hash") in hashes)
            or (entry.kind == "review" and body.get("contract") == contract.id)
            or (entry.kind == "partner" and body.get("party") in parties)
            or (entry.kind in ("dataset", "crowd") and body.get("name") in datasets)
        )
        if about:
            found.append(entry)
    return found


def code_hashes() -> dict[str, str]:
    """SHA-256 of every file of the package that runs, by its path inside the package."""
    root = Path(hanse.__file__).parent
    files = sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def _job(office: NodeOffice, job: Job, openings: dict[str, Any]) -> dict[str, Any]:
    """What the pack says of a job: never a result."""
    return {
        "job": job.job,
        "attempt": job.attempt,
        "state": job.state,
        "request": job.request,
        "created": job.created.isoformat(),
        "finished": job.finished.isoformat() if job.finished else None,
        "error": job.error,
        "openings": openings.get(job.job, []),
        "disclosure": facade.disclosure(office, job),
    }


def _json(value: Any) -> bytes:
    """Indented for people; the values are those that canonical JSON can say."""
    return json.dumps(json.loads(canonical(value)), indent=1, ensure_ascii=False).encode() + b"\n"


def _cover(office: NodeOffice, stored: StoredContract, jobs: list[Job], made: datetime) -> bytes:
    bundle = bundle_of(stored)
    contract = bundle.contract
    page = Page(f"Evidence: {contract.title}")
    page.warning(AID)
    page.text(
        f"Made by {office.party} at {made.isoformat(timespec='seconds')} with Hanse {hanse.__version__}. Contract "
        f"{contract.id}, version {contract.version}, is {stored.state}; fingerprint {contract.hash}."
    )
    page.heading("Parties and signatures")
    page.table(
        ("party", "organisation", "signing key", "has signed"),
        [
            (p.name, p.organisation, p.signing_key, "yes" if p.name in bundle.signatures else "no")
            for p in contract.parties
        ],
    )
    page.heading("Jobs")
    page.table(
        ("job", "asked", "computation", "by", "to", "epsilon", "state", "why not"),
        [
            (j.job[:12], j.created.isoformat(timespec="seconds"), request.computation, request.analyst,
             ", ".join(request.recipients), f"{request.epsilon:g}", j.state, (j.error or {}).get("code", ""))
            for j, request in ((j, JobRequest.from_fields(j.request)) for j in reversed(jobs))
        ],
    )  # fmt: skip
    page.heading("The contract in words")
    page.verbatim(describe(contract))
    return page.html()
