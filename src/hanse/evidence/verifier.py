"""Verify an evidence pack of Hanse. One file, the standard library only: copy it to any machine with Python 3.11.

    python verifier.py PACK.zip [--key PARTY=HEX] [--every-signature]

It checks that the container holds exactly what its signed manifest lists, byte for byte; that all parties signed
the contract; that the party's ledger is an unbroken signed chain up to the manifest's head; that every job's
name is the hash of its request, that every seat and provider permitted it and that what was opened is what the
ledger says. Exit status 0 if all holds, 1 if not (saying what does not), 2 for wrong usage.

It cannot check whose the keys are: compare the fingerprints that it prints with the parties by another way, or
give them with --key. Nor can it see entries that a party never wrote, or cut off after the head; partners' packs
of the same jobs show those.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

FORMAT = "hanse-evidence-1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
PACK_PREFIX = b"hanse-evidence-v1|"
CONTRACT_PREFIX = b"hanse-contract-v1|"
PERMIT_PREFIX = b"hanse-permit-v1|"
LEDGER_PREFIX = b"hanse-ledger-v2|"
GENESIS = "0" * 64
MAX_BYTES = 16 << 30
_PIECE = 1 << 17
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass
class Report:
    """What was found: ``facts`` in words, ``problems`` (empty if the pack holds)."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(
    pack: bytes | Path | BinaryIO,
    keys: Mapping[str, str] | None = None,
    *,
    every: bool | None = None,
) -> Report:
    """Check a pack: its bytes, its path, or an open file that can be sought in. It is read in pieces.

    ``keys``: signing keys (hexadecimal) that the reader knows by another way. ``every``: whether the signature of
    each ledger entry is checked beside the last one's, which covers all before it through their hashes; by default
    where the package cryptography is installed, as plain Python takes milliseconds for one.
    """
    report = Report()
    try:
        if isinstance(pack, Path):
            with pack.open("rb") as opened:
                _verify(opened, report, dict(keys or {}), every)
        else:
            given = io.BytesIO(pack) if isinstance(pack, bytes) else pack
            _verify(given, report, dict(keys or {}), every)
    except _Broken as broken:
        report.problems.append(str(broken))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        report.problems.append(f"a part of the pack is malformed ({type(error).__name__})")
    return report


def _verify(file: BinaryIO, report: Report, keys: dict[str, str], every: bool | None) -> None:
    with _opened(file) as archive:
        hashes = _hashes(file, archive)
        _check(_Parts(archive, hashes), report, keys, every)


class _Broken(Exception):
    """The pack does not hold, and nothing more can be checked."""


# --- the container ----------------------------------------------------------------------------------


def packed(parts: Mapping[str, bytes]) -> bytes:
    """The one container of these parts: stored, in sorted order, with fixed dates and flags."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            add(archive, name, io.BytesIO(parts[name]), len(parts[name]))
    return buffer.getvalue()


class Source(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def add(archive: zipfile.ZipFile, name: str, source: Source, size: int) -> str:
    """Write a part of ``size`` bytes into a container, the one way there is; SHA-256 of it. Parts come sorted."""
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr, info.file_size = 3, 0o100644 << 16, size
    seen = hashlib.sha256()
    with archive.open(info, "w") as target:
        while piece := source.read(_PIECE):
            seen.update(piece)
            target.write(piece)
    return seen.hexdigest()


@contextmanager
def _opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise _Broken("the file is too large to be an evidence pack")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names) or any(i.compress_type for i in archive.infolist()):
                raise _Broken("the container is not one that an evidence pack has")
            yield archive
    except _ZIP_ERRORS as error:
        raise _Broken("the file is not an evidence pack, or it was changed") from error


_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, NotImplementedError, RuntimeError,
)  # fmt: skip


def _hashes(file: BinaryIO, archive: zipfile.ZipFile) -> dict[str, str]:
    """SHA-256 of every part. Bytes outside the parts (dates, flags, comments) are covered too: the container is
    written once more, to a file that is gone afterwards, and must come out the same."""
    hashes = {}
    with tempfile.TemporaryFile() as again:
        with zipfile.ZipFile(again, "w", zipfile.ZIP_STORED) as copy:
            for info in sorted(archive.infolist(), key=lambda i: i.filename):
                with archive.open(info) as source:
                    hashes[info.filename] = add(copy, info.filename, source, info.file_size)
        file.seek(0)
        again.seek(0)
        while True:
            one, other = file.read(_PIECE), again.read(_PIECE)
            if one != other:
                raise _Broken("the container was changed outside its parts")
            if not one:
                return hashes


class _Parts:
    """The parts of a container: read one at a time, none kept."""

    def __init__(self, archive: zipfile.ZipFile, hashes: Mapping[str, str]) -> None:
        self._archive = archive
        self.hashes = hashes

    def __contains__(self, name: str) -> bool:
        return name in self.hashes

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.hashes))

    def __getitem__(self, name: str) -> bytes:
        return self._archive.read(name)

    def lines(self, name: str) -> Iterator[bytes]:
        """Lines with their breaks."""
        with self._archive.open(name) as file:
            yield from file


# --- what must hold ---------------------------------------------------------------------------------


def _check(parts: _Parts, report: Report, keys: dict[str, str], every: bool | None) -> None:
    for name in (MANIFEST, SIGNATURE, "ledger.jsonl", "reviews.json"):
        if name not in parts:
            raise _Broken(f"{name} is missing")
    data = parts[MANIFEST]
    manifest = json.loads(data)
    if manifest["format"] != FORMAT:
        raise _Broken(f"the manifest is not {FORMAT}; use the verifier of its version")
    listed = manifest["files"]
    for name in sorted(set(listed) | (set(parts.hashes) - {MANIFEST, SIGNATURE})):
        if name not in parts:
            report.problems.append(f"{name} is listed and missing")
        elif name not in listed:
            report.problems.append(f"{name} is not listed in the manifest")
        elif parts.hashes[name] != listed[name]:
            report.problems.append(f"{name} was changed")
    contracts = _contracts(parts, report, keys)
    party = manifest["party"]
    contract = contracts[manifest["contract"]["hash"]]
    parties = {p["name"]: p for p in contract["parties"]}
    key = parties[party]["signing_key"]
    seal = hashlib.sha256(data).digest()
    if not _signed(key, PACK_PREFIX + seal, parts[SIGNATURE].decode()):
        report.problems.append(f"the manifest is not signed by {party}")
    report.facts.append(
        f"{party} made this pack at {manifest['made']} with Hanse {manifest['hanse']}"
    )
    noted = _Noted()
    for entry in _ledger(parts.lines("ledger.jsonl"), key, manifest["ledger"], report, every):
        noted.take(entry)
    if json.loads(parts["reviews.json"]) != noted.reviews:
        report.problems.append("reviews.json does not say what the ledger says")
    report.facts.append(f"{len(noted.reviews)} reviews by departments")
    _jobs(parts, contracts, noted, report)
    for name, one in sorted(parties.items()):
        report.facts.append(f"key of {name} ({one['organisation']}): {one['signing_key']}")


def _contracts(parts: _Parts, report: Report, keys: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Contract texts by hash; signatures are checked."""
    found = {}
    for name in parts:
        if not (name.startswith("contract/") and name.endswith(".json")):
            continue
        bundle = json.loads(parts[name])
        contract = bundle["contract"]
        what = f"contract {contract['id']}, version {contract['version']}"
        if _digest(contract) != bundle["hash"]:
            report.problems.append(f"the text of {what} is not the one that was signed")
        message = CONTRACT_PREFIX + bytes.fromhex(bundle["hash"])
        signed = []
        for party in contract["parties"]:
            own, signature = party["signing_key"], bundle["signatures"].get(party["name"])
            if keys.get(party["name"], own) != own:
                report.problems.append(
                    f"{what} names another key for {party['name']} than you gave"
                )
            if signature is None:
                continue
            signed.append(party["name"])
            if not _signed(own, message, signature):
                report.problems.append(
                    f"the signature of {party['name']} under {what} does not fit"
                )
        missing = [p["name"] for p in contract["parties"] if p["name"] not in signed]
        report.facts.append(
            f"{what}: signed by {', '.join(signed) or 'nobody'}"
            + (f"; not by {', '.join(missing)}" if missing else " (all)")
        )
        found[bundle["hash"]] = {**contract, "unsigned": missing}
    return found


# A line of the ledger in canonical form: keys sorted, so what is committed to lies in it piece by piece.
_OPEN = re.compile(
    rb'\{"body":(\{.*\}),"hash":"([0-9a-f]{64})","kind":"([a-z][a-z0-9-]{1,39})","previous":"([0-9a-f]{64})",'
    rb'"salt":"([0-9a-f]{32})","sequence":([0-9]{1,18}),"signature":"([0-9a-f]{128})","time":"([0-9T:.+-]{10,40})"\}'
)
_SEALED = re.compile(
    rb'\{"commitment":"([0-9a-f]{64})","hash":"([0-9a-f]{64})","previous":"([0-9a-f]{64})",'
    rb'"sequence":([0-9]{1,18}),"signature":"([0-9a-f]{128})"\}'
)


def _ledger(
    lines: Iterable[bytes], key: str, head: Mapping[str, Any], report: Report, every: bool | None
) -> Iterator[dict[str, Any]]:
    """The open entries of a chain, as it is followed to its end.

    Every hash is computed anew, so the last entry's signature holds for all of them.
    """
    previous, count, shown, signature = GENESIS.encode(), 0, 0, b""
    fast, valid = _verifier(key)
    each = fast if every is None else every
    for line in lines:
        if not line.endswith(b"\n"):
            raise _Broken("the ledger's last line is cut off")
        sealed = _SEALED.fullmatch(line, 0, len(line) - 1)
        opened = None if sealed is not None else _OPEN.fullmatch(line, 0, len(line) - 1)
        if sealed is not None:
            commitment, own, before, number, signature = sealed.groups()
        elif opened is not None:
            body, own, kind, before, salt, number, signature, moment = opened.groups()
            content = b'{"body":%s,"kind":"%s","salt":"%s","time":"%s"}' % (
                body,
                kind,
                salt,
                moment,
            )
            commitment = hashlib.sha256(content).hexdigest().encode()
        else:
            raise _Broken(f"ledger entry {count} is not in canonical form")
        place = b'{"commitment":"%s","previous":"%s","sequence":%d}' % (commitment, previous, count)
        good = number == b"%d" % count and before == previous
        good = good and own == hashlib.sha256(place).hexdigest().encode()
        if not good or (each and not _valid(valid, own, signature)):
            raise _Broken(f"the ledger is broken at entry {count}")
        if opened is not None:
            entry = {"kind": kind.decode(), "time": moment.decode(), "body": json.loads(body)}
            if _canonical(entry["body"]) != body:
                raise _Broken(f"ledger entry {count} is not in canonical form")
            shown += 1
            yield entry
        previous, count = own, count + 1
    if (count, previous.decode()) != (head["entries"], head["head"]):
        raise _Broken("the ledger does not end where the manifest says")
    if count and not each and not _valid(valid, previous, signature):
        raise _Broken("the ledger's last entry is not signed by the party")
    how = "every signature checked" if each else "the last one's signature covers all"
    report.facts.append(
        f"ledger: {count:,} entries in an unbroken signed chain ({how}), {shown:,} of this contract shown, "
        f"the others sealed; head {previous.decode()}"
    )


def _valid(valid: Callable[[bytes, str], bool], own: bytes, signature: bytes) -> bool:
    return valid(LEDGER_PREFIX + bytes.fromhex(own.decode()), signature.decode())


@dataclass
class _OfJob:
    """What the ledger says of a job: kinds of entries, permits, and hashes of what was opened."""

    kinds: set[str] = field(default_factory=set)
    permits: dict[str, bytes] = field(default_factory=dict)
    record: str = ""
    openings: str = ""


class _Noted:
    """What is kept of the entries that were seen: reviews, and of each job a few words and hashes."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.jobs: dict[str, _OfJob] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        kind, body = sys.intern(entry["kind"]), entry["body"]
        if kind == "review":
            self.reviews.append({"time": entry["time"], **body})
        if "job" not in body:
            return
        note = self.jobs.setdefault(body["job"], _OfJob())
        note.kinds.add(kind)
        if kind == "permits":
            note.permits = {sys.intern(p): bytes.fromhex(s) for p, s in body["signatures"].items()}
        if kind == "disclosure":
            note.record, note.openings = body["record"], _digest(body["openings"])


def _jobs(
    parts: _Parts, contracts: dict[str, dict[str, Any]], noted: _Noted, report: Report
) -> None:
    count, epsilon = 0, 0.0
    for name in parts:
        if not name.startswith("jobs/"):
            continue
        job = json.loads(parts[name])
        count += 1
        short = job["job"][:12]
        note = noted.jobs.pop(job["job"], _OfJob())
        if _digest(job["request"]) != job["job"] or name != f"jobs/{job['job']}.json":
            report.problems.append(f"job {short} does not have the name of its request")
        contract = contracts.get(job["request"]["contract_hash"])
        if contract is None:
            report.problems.append(f"job {short} is under a contract that is not in the pack")
            continue
        _permits(job, contract, note, report)
        disclosed, paid = "disclosure" in note.kinds, "commit" in note.kinds
        if disclosed and note.openings != note.record:
            report.problems.append(f"job {short}: the ledger's openings do not fit their digest")
        if disclosed and _digest(job["openings"]) != note.openings:
            report.problems.append(f"job {short}: its openings are not those in the ledger")
        if not disclosed and paid:
            report.problems.append(f"job {short} was paid for and the ledger tells no openings")
        epsilon += job["request"]["epsilon"] if paid else 0.0
    for job, note in noted.jobs.items():
        if note.kinds - {"refusal"}:
            report.problems.append(f"job {job[:12]} is in the ledger and not in the pack")
    report.facts.append(
        f"{count} jobs; epsilon {epsilon:g} spent towards recipients in all (simple sum)"
    )


def _permits(
    job: Mapping[str, Any], contract: Mapping[str, Any], note: _OfJob, report: Report
) -> None:
    """Where the job began, every seat and provider must have permitted it."""
    short = job["job"][:12]
    if "permits" not in note.kinds:
        if "commit" in note.kinds:
            report.problems.append(f"job {short} ran and its permits are missing")
        return
    if contract["unsigned"]:
        report.problems.append(
            f"job {short} ran under a contract that {', '.join(contract['unsigned'])} had not signed"
        )
    used = {use["dataset"] for use in job["request"]["uses"]}
    providers = {d["provider"] for d in contract["datasets"] if d["name"] in used}
    keys = {p["name"]: p["signing_key"] for p in contract["parties"]}
    message = PERMIT_PREFIX + bytes.fromhex(job["job"])
    for party in sorted({*contract["seats"], *providers}):
        if not _signed(keys[party], message, note.permits.get(party, b"").hex()):
            report.problems.append(f"job {short}: the permit of {party} is missing or not theirs")


# --- hashes and signatures --------------------------------------------------------------------------


def _canonical(value: Any) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()


def _signed(key: str, message: bytes, signature: str) -> bool:
    try:
        return _verifier(key)[1](message, signature)
    except ValueError:
        return False


def _verifier(key: str) -> tuple[bool, Callable[[bytes, str], bool]]:
    """(whether it is fast, a check of signatures under a public key): with `cryptography` where it is installed,
    else in plain Python."""
    public = bytes.fromhex(key)
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it may not be there
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )
    except ImportError:
        return False, lambda message, signature: ed25519(public, message, bytes.fromhex(signature))
    fast = Ed25519PublicKey.from_public_bytes(public)

    def valid(message: bytes, signature: str) -> bool:
        try:
            fast.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return True, valid


# Ed25519 after RFC 8032, section 5.1: verification only, so nothing here is secret and time does not matter.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int, int, int]


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) over ``message`` is by the key ``public`` (32 bytes)."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = _point(public), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    left, right = _times(s, _BASE), _sum(r, _times(h, a))
    return _same(left, right)


def _x(y: int, sign: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return _P - x if x & 1 != sign else x


def _point(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y = number & ((1 << 255) - 1)
    x = _x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % _P)


def _sum(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        count >>= 1
    return result


def _same(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % _P == 0 and (p[1] * q[2] - q[1] * p[2]) % _P == 0


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = _x(_BASE_Y, 0) or 0
_BASE: Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


# --- on its own -------------------------------------------------------------------------------------


def told(report: Report) -> Iterator[str]:
    """The report in lines."""
    yield from report.facts
    yield from (f"DOES NOT HOLD: {problem}" for problem in report.problems)
    if report.ok:
        yield "The pack holds. Compare the keys with the parties by another way than this file."


def main(arguments: list[str]) -> int:
    """The command line of the file on its own."""
    keys, files, every, rest = {}, [], None, list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--key" and rest and "=" in rest[0]:
            party, _, key = rest.pop(0).partition("=")
            keys[party] = key.lower()
        elif word == "--every-signature":
            every = True
        else:
            files.append(word)
    if len(files) != 1 or files[0].startswith("-"):
        sys.stderr.write(
            "usage: python verifier.py PACK.zip [--key PARTY=HEX] [--every-signature]\n"
        )
        return 2
    try:
        with Path(files[0]).open("rb") as file:
            report = verify(file, keys, every=every)
    except OSError as error:
        sys.stderr.write(f"{files[0]} cannot be read: {error.strerror}\n")
        return 2
    sys.stdout.write("\n".join(told(report)) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
