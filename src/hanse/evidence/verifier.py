"""Verify an evidence pack of Hanse. One file, the standard library only: copy it to any machine with Python 3.11.

    python verifier.py PACK.zip [--key PARTY=HEX]

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
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "hanse-evidence-1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
PACK_PREFIX = b"hanse-evidence-v1|"
CONTRACT_PREFIX = b"hanse-contract-v1|"
PERMIT_PREFIX = b"hanse-permit-v1|"
LEDGER_PREFIX = b"hanse-ledger-v2|"
GENESIS = "0" * 64
MAX_BYTES = 4 << 30
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass
class Report:
    """What was found: ``facts`` in words, ``problems`` (empty if the pack holds)."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(data: bytes, keys: Mapping[str, str] | None = None) -> Report:
    """Check a pack. ``keys``: signing keys (hexadecimal) that the reader knows by another way."""
    report = Report()
    try:
        parts = _parts(data)
        _check(parts, report, dict(keys or {}))
    except _Broken as broken:
        report.problems.append(str(broken))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        report.problems.append(f"a part of the pack is malformed ({type(error).__name__})")
    return report


class _Broken(Exception):
    """The pack does not hold, and nothing more can be checked."""


# --- the container ----------------------------------------------------------------------------------


def packed(parts: Mapping[str, bytes]) -> bytes:
    """The one container of these parts: stored, in sorted order, with fixed dates and flags."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, parts[name])
    return buffer.getvalue()


def _parts(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_BYTES:
        raise _Broken("the file is too large to be an evidence pack")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names) or any(i.compress_type for i in archive.infolist()):
                raise _Broken("the container is not one that an evidence pack has")
            parts = {name: archive.read(name) for name in names}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise _Broken("the file is not an evidence pack, or it was changed") from error
    # Bytes outside the parts (dates, flags, comments) are covered too: they must be the canonical ones.
    if packed(parts) != data:
        raise _Broken("the container was changed outside its parts")
    return parts


# --- what must hold ---------------------------------------------------------------------------------


def _check(parts: dict[str, bytes], report: Report, keys: dict[str, str]) -> None:
    for name in (MANIFEST, SIGNATURE):
        if name not in parts:
            raise _Broken(f"{name} is missing")
    manifest = json.loads(parts[MANIFEST])
    if manifest["format"] != FORMAT:
        raise _Broken(f"the manifest is not {FORMAT}; use the verifier of its version")
    listed = manifest["files"]
    for name in sorted(set(listed) | (set(parts) - {MANIFEST, SIGNATURE})):
        if name not in parts:
            report.problems.append(f"{name} is listed and missing")
        elif name not in listed:
            report.problems.append(f"{name} is not listed in the manifest")
        elif hashlib.sha256(parts[name]).hexdigest() != listed[name]:
            report.problems.append(f"{name} was changed")
    contracts = _contracts(parts, report, keys)
    party = manifest["party"]
    contract = contracts[manifest["contract"]["hash"]]
    parties = {p["name"]: p for p in contract["parties"]}
    key = parties[party]["signing_key"]
    seal = hashlib.sha256(parts[MANIFEST]).digest()
    if not _signed(key, PACK_PREFIX + seal, parts[SIGNATURE].decode()):
        report.problems.append(f"the manifest is not signed by {party}")
    report.facts.append(
        f"{party} made this pack at {manifest['made']} with Hanse {manifest['hanse']}"
    )
    entries = _ledger(parts["ledger.jsonl"], key, manifest["ledger"], report)
    _reviews(parts, entries, report)
    _jobs(parts, contracts, entries, report)
    for name, one in sorted(parties.items()):
        report.facts.append(f"key of {name} ({one['organisation']}): {one['signing_key']}")


def _contracts(
    parts: dict[str, bytes], report: Report, keys: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Contract texts by hash; signatures are checked."""
    found = {}
    for name in sorted(parts):
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


def _ledger(data: bytes, key: str, head: Mapping[str, Any], report: Report) -> list[dict[str, Any]]:
    """The open entries of a chain that was followed to its end."""
    previous, shown = GENESIS, []
    lines = data.decode().split("\n")
    if lines.pop() != "":
        raise _Broken("the ledger's last line is cut off")
    valid = _verifier(key)
    for sequence, line in enumerate(lines):
        entry = json.loads(line)
        if _canonical(entry).decode() != line:
            raise _Broken(f"ledger entry {sequence} is not in canonical form")
        commitment = entry.get("commitment")
        if commitment is None:
            commitment = _digest({name: entry[name] for name in ("time", "kind", "body", "salt")})
            shown.append(entry)
        place = {"sequence": sequence, "previous": previous, "commitment": commitment}
        good = (
            entry["sequence"] == sequence
            and entry["previous"] == previous
            and entry["hash"] == _digest(place)
            and valid(LEDGER_PREFIX + bytes.fromhex(entry["hash"]), entry["signature"])
        )
        if not good:
            raise _Broken(f"the ledger is broken at entry {sequence}")
        previous = entry["hash"]
    if (len(lines), previous) != (head["entries"], head["head"]):
        raise _Broken("the ledger does not end where the manifest says")
    report.facts.append(
        f"ledger: {len(lines):,} entries in an unbroken signed chain, {len(shown):,} of this contract shown, "
        f"the others sealed; head {previous}"
    )
    return shown


def _reviews(parts: dict[str, bytes], entries: list[dict[str, Any]], report: Report) -> None:
    noted = [{"time": e["time"], **e["body"]} for e in entries if e["kind"] == "review"]
    if json.loads(parts["reviews.json"]) != noted:
        report.problems.append("reviews.json does not say what the ledger says")
    report.facts.append(f"{len(noted)} reviews by departments")


def _jobs(
    parts: dict[str, bytes],
    contracts: dict[str, dict[str, Any]],
    entries: list[dict[str, Any]],
    report: Report,
) -> None:
    of_job: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in entries:
        if "job" in entry["body"]:
            of_job.setdefault(entry["body"]["job"], {})[entry["kind"]] = entry["body"]
    count, epsilon = 0, 0.0
    for name in sorted(parts):
        if not name.startswith("jobs/"):
            continue
        job = json.loads(parts[name])
        count += 1
        short = job["job"][:12]
        notes = of_job.pop(job["job"], {})
        if _digest(job["request"]) != job["job"] or name != f"jobs/{job['job']}.json":
            report.problems.append(f"job {short} does not have the name of its request")
        contract = contracts.get(job["request"]["contract_hash"])
        if contract is None:
            report.problems.append(f"job {short} is under a contract that is not in the pack")
            continue
        _permits(job, contract, notes, report)
        disclosed = notes.get("disclosure")
        if disclosed is not None and _digest(disclosed["openings"]) != disclosed["record"]:
            report.problems.append(f"job {short}: the ledger's openings do not fit their digest")
        if job["openings"] != (disclosed or {}).get("openings", job["openings"]):
            report.problems.append(f"job {short}: its openings are not those in the ledger")
        if disclosed is None and "commit" in notes:
            report.problems.append(f"job {short} was paid for and the ledger tells no openings")
        epsilon += job["request"]["epsilon"] if "commit" in notes else 0.0
    for job, notes in of_job.items():
        if set(notes) - {"refusal"}:
            report.problems.append(f"job {job[:12]} is in the ledger and not in the pack")
    report.facts.append(
        f"{count} jobs; epsilon {epsilon:g} spent towards recipients in all (simple sum)"
    )


def _permits(
    job: Mapping[str, Any],
    contract: Mapping[str, Any],
    notes: Mapping[str, Mapping[str, Any]],
    report: Report,
) -> None:
    """Where the job began, every seat and provider must have permitted it."""
    short = job["job"][:12]
    given = notes.get("permits")
    if given is None:
        if "commit" in notes:
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
        if not _signed(keys[party], message, given["signatures"].get(party, "")):
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
        return _verifier(key)(message, signature)
    except ValueError:
        return False


def _verifier(key: str) -> Callable[[bytes, str], bool]:
    """Checks signatures under a public key: with `cryptography` where it is installed, else in plain Python."""
    public = bytes.fromhex(key)
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - it may not be there
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )
    except ImportError:
        return lambda message, signature: ed25519(public, message, bytes.fromhex(signature))
    fast = Ed25519PublicKey.from_public_bytes(public)

    def valid(message: bytes, signature: str) -> bool:
        try:
            fast.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return valid


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
    keys, files, rest = {}, [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--key" and rest and "=" in rest[0]:
            party, _, key = rest.pop(0).partition("=")
            keys[party] = key.lower()
        else:
            files.append(word)
    if len(files) != 1 or files[0].startswith("-"):
        sys.stderr.write("usage: python verifier.py PACK.zip [--key PARTY=HEX]\n")
        return 2
    try:
        data = Path(files[0]).read_bytes()
    except OSError as error:
        sys.stderr.write(f"{files[0]} cannot be read: {error.strerror}\n")
        return 2
    report = verify(data, keys)
    sys.stdout.write("\n".join(told(report)) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
