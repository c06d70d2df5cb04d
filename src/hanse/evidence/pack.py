"""Making an evidence pack from a node's own records: everything about one contract, and nothing about others."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import hanse
from hanse.contracts import Contract, JobRequest, describe
from hanse.errors import Fault, Refusal
from hanse.evidence.impact import impact_page
from hanse.evidence.page import Page
from hanse.evidence.requirements import AID, requirements_page
from hanse.evidence.verifier import FORMAT, MANIFEST, PACK_PREFIX, SIGNATURE, add
from hanse.ledger import GENESIS, Entry
from hanse.ledger.entries import problem_with
from hanse.node.faces import facade
from hanse.node.office import NodeOffice, bundle_of
from hanse.node.storage.jobs import Job
from hanse.node.storage.store import StoredContract
from hanse.wire.codec import canonical

README = """An evidence pack of Hanse. To verify it without a node:

    hanse evidence verify PACK.zip

or, on a machine that has only Python 3.11 or newer, with the verifier that 'hanse evidence verifier' writes
(take it from your own installation, not from whoever gave you the pack):

    python verifier.py PACK.zip --key PARTY=HEX

index.html is the cover; contract/ has the text that was signed; jobs/ one file per job; ledger.jsonl the chain, in
which entries that do not concern this contract are sealed; code.json the version and hashes of the code.
"""


def make_pack(office: NodeOffice, contract_id: str, made: datetime) -> bytes:
    """`write_pack` into memory: for packs that are known to be small."""
    target = io.BytesIO()
    write_pack(office, contract_id, made, target)
    return target.getvalue()


def write_pack(office: NodeOffice, contract_id: str, made: datetime, target: IO[bytes]) -> None:
    """Write the pack of a contract, all its versions and jobs, signed with this party's key, into a new file.

    The ledger and the jobs are read in batches and kept on the disk meanwhile, not in memory. Raises `Refusal`
    ``contract.unknown``, or ``evidence.ledger`` if this node's ledger does not hold.
    """
    newest = office.contract(contract_id)
    versions = [c for c in office.store.contracts.all() if c.id == contract_id]
    about = _About(bundle_of(newest).contract, frozenset(c.hash for c in versions))
    accounts = facade.accounts(office, about.contract)
    with TemporaryFile() as jobs, TemporaryFile() as ledger, TemporaryFile() as opened:
        rows = _Jobs(office, about, accounts)
        rows.find()
        chain = _Chain(about, rows, ledger, opened, office.identity.card.signing_key)
        for entry in office.ledger.entries():
            chain.add(entry)
        rows.write(jobs, opened, chain.openings)
        small = {
            **{f"contract/version-{c.version}.json": bundle_of(c).to_json() for c in versions},
            "contract/contract.txt": describe(about.contract).encode(),
            "reviews.json": _json(chain.reviews),
            "code.json": _json({"version": hanse.__version__, "files": code_hashes()}),
            "index.html": _cover(office, newest, rows.lines, made),
            "requirements.html": requirements_page(),
            "impact-assessment.html": impact_page(
                about.contract, office.party, {a.provider: a.body() for a in accounts}
            ),
            "README.txt": README.encode(),
        }
        large = {"ledger.jsonl": (ledger, 0, ledger.tell()), **rows.places(jobs)}
        facts = {
            "format": FORMAT,
            "party": office.party,
            "made": made.isoformat(timespec="seconds"),
            "hanse": hanse.__version__,
            "contract": {"id": contract_id, "version": about.contract.version, "hash": about.contract.hash},
            "ledger": {"entries": chain.count, "head": chain.head},
        }  # fmt: skip
        _write(target, small, large, facts, office)


def _write(
    target: IO[bytes], small: Mapping[str, bytes], large: Mapping[str, tuple[IO[bytes], int, int]],
    facts: Mapping[str, Any], office: NodeOffice,
) -> None:  # fmt: skip
    """Parts in sorted order; the manifest among them has the hashes of those that come after it, too."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in small.items()}
    for name in large:
        if name > MANIFEST:
            raise Fault("evidence.order", f"{name} would come after the manifest that lists it")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted([*small, *large, MANIFEST, SIGNATURE]):
            if name == MANIFEST:
                manifest = _json({**facts, "files": dict(sorted(hashes.items()))})
                seal = office.identity.signing_key.sign(
                    PACK_PREFIX + hashlib.sha256(manifest).digest()
                )
                add(archive, MANIFEST, io.BytesIO(manifest), len(manifest))
                add(archive, SIGNATURE, io.BytesIO(seal.hex().encode()), 2 * len(seal))
            elif name in large:
                file, first, last = large[name]
                file.seek(first)
                hashes[name] = add(archive, name, _Piece(file, last - first), last - first)
            elif name != SIGNATURE:
                add(archive, name, io.BytesIO(small[name]), len(small[name]))


class _Piece:
    """So many bytes of a file from where it stands."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


@dataclass(frozen=True)
class _About:
    """What a pack is about: a contract, by the hashes of all its versions."""

    contract: Contract
    hashes: frozenset[str]

    @cached_property
    def parties(self) -> frozenset[str]:
        return frozenset(p.name for p in self.contract.parties)

    @cached_property
    def datasets(self) -> frozenset[str]:
        return frozenset(d.name for d in self.contract.datasets)

    def concerns(self, entry: Entry, jobs: Container[str]) -> bool:
        """Whether an entry is about the contract: its texts, reviews, partners, datasets and jobs."""
        body = entry.body
        return bool(
            body.get("job") in jobs
            or (entry.kind == "contract" and body.get("hash") in self.hashes)
            or (entry.kind == "review" and body.get("contract") == self.contract.id)
            or (entry.kind == "partner" and body.get("party") in self.parties)
            or (entry.kind in ("dataset", "crowd") and body.get("name") in self.datasets)
        )


class _Chain:
    """The ledger as it goes into the pack: checked and written as it is read; openings are kept aside, by job."""

    def __init__(
        self, about: _About, jobs: _Jobs, ledger: IO[bytes], opened: IO[bytes], key: str
    ) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        self._about, self._jobs, self._ledger, self._opened = about, jobs, ledger, opened
        self.openings: dict[str, tuple[int, int]] = {}  # where they lie in ``opened``
        self.reviews: list[dict[str, Any]] = []
        self.count, self.head = 0, GENESIS

    def add(self, entry: Entry) -> None:
        """The next entry: open if it concerns the contract, else sealed."""
        wrong = problem_with(entry, self.count, self.head, self._key)
        if wrong:
            raise Refusal("evidence.ledger", f"the ledger is broken at entry {self.count}: {wrong}",
                          remedy="keep the store as it is, and see 'hanse ledger verify'")  # fmt: skip
        shown = self._about.concerns(entry, self._jobs.lines)
        self._ledger.write((entry.line() if shown else entry.sealed().line()).encode() + b"\n")
        if shown and entry.kind == "review":
            self.reviews.append({"time": entry.time, **entry.body})
        if shown and entry.kind == "disclosure":
            first = self._opened.tell()
            self._opened.write(canonical(entry.body["openings"]))
            self.openings[entry.body["job"]] = (first, self._opened.tell())
        self.count, self.head = self.count + 1, entry.hash


class _Jobs:
    """The contract's jobs: a line of each for the cover, and their files one after another."""

    def __init__(
        self, office: NodeOffice, about: _About, standing: Sequence[facade.Account]
    ) -> None:
        self._office, self._about, self._standing = office, about, standing
        self._contracts: dict[str, Contract | None] = {}
        self.lines: dict[str, tuple[str, ...]] = {}  # by job
        self._ends: dict[str, int] = {}

    def find(self) -> None:
        """Which there are."""
        for job in self._office.store.jobs.under(self._about.hashes):
            request = JobRequest.from_fields(job.request)
            self.lines[job.job] = (
                job.job[:12], job.created.isoformat(timespec="seconds"), request.computation, request.analyst,
                ", ".join(request.recipients), f"{request.epsilon:g}", job.state, (job.error or {}).get("code", ""),
            )  # fmt: skip

    def write(
        self, to: IO[bytes], opened: IO[bytes], places: Mapping[str, tuple[int, int]]
    ) -> None:
        """The files. Jobs that began meanwhile are not in the chain either, and are left out."""
        for job in self._office.store.jobs.under(self._about.hashes):
            if job.job not in self.lines:
                continue
            openings = []
            if job.job in places:
                first, last = places[job.job]
                opened.seek(first)
                openings = json.loads(opened.read(last - first))
            to.write(canonical(_job(job, openings, self._contract(job), self._standing)) + b"\n")
            self._ends[job.job] = to.tell()

    def places(self, file: IO[bytes]) -> dict[str, tuple[IO[bytes], int, int]]:
        """Where each file lies, by its name in the pack."""
        found, first = {}, 0
        for job, last in self._ends.items():
            found[f"jobs/{job}.json"] = (file, first, last)
            first = last
        return found

    def _contract(self, job: Job) -> Contract | None:
        if job.contract not in self._contracts:
            self._contracts[job.contract] = facade.contract_of(self._office, job)
        return self._contracts[job.contract]


def code_hashes() -> dict[str, str]:
    """SHA-256 of every file of the package that runs, by its path inside the package."""
    root = Path(hanse.__file__).parent
    files = sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def _job(
    job: Job, openings: list[Any], contract: Contract | None, standing: Sequence[facade.Account]
) -> dict[str, Any]:
    """What the pack says of a job: never a result."""
    return {
        "job": job.job,
        "attempt": job.attempt,
        "state": job.state,
        "request": job.request,
        "created": job.created.isoformat(),
        "finished": job.finished.isoformat() if job.finished else None,
        "error": job.error,
        "openings": openings,
        "disclosure": facade.disclosed(job, contract, standing),
    }


def _json(value: Any) -> bytes:
    """Indented for people; the values are those that canonical JSON can say."""
    return json.dumps(json.loads(canonical(value)), indent=1, ensure_ascii=False).encode() + b"\n"


def _cover(
    office: NodeOffice, stored: StoredContract, jobs: Mapping[str, tuple[str, ...]], made: datetime
) -> bytes:
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
        sorted(jobs.values(), key=lambda line: (line[1], line[0])),
    )
    page.heading("The contract in words")
    page.verbatim(describe(contract))
    return page.html()
