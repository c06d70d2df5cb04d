"""Signatures of the parties: over a contract once, and over every job before it runs.

Ed25519 over a prefix that names what is signed and the 32 bytes of its hash, so that a signature
of one kind never serves as another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from hanse.contracts.fields import Document, Hash, Signature, Slug
from hanse.contracts.terms import Contract
from hanse.errors import Foul, Refusal
from hanse.problems import refusal

CONTRACT_PREFIX = b"hanse-contract-v1|"
PERMIT_PREFIX = b"hanse-permit-v1|"
BUNDLE_FORMAT = "hanse-bundle-v1"


def sign_contract(contract: Contract, party: str, key: Ed25519PrivateKey) -> str:
    """``party``'s signature over the contract, in hexadecimal.

    Raises `Refusal` ``contract.party`` or ``contract.key`` if the contract does not know the party
    under this key: such a signature would be worthless, and it is better to hear of it here.
    """
    return _sign(contract, party, key, CONTRACT_PREFIX + bytes.fromhex(contract.hash))


def contract_signed(contract: Contract, party: str, signature: str) -> bool:
    """Whether ``signature`` is ``party``'s over this contract."""
    return _valid(contract, party, CONTRACT_PREFIX + bytes.fromhex(contract.hash), signature)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A contract and the detached signatures that it has so far, by party."""

    contract: Contract
    signatures: Mapping[str, str] = field(default_factory=dict)

    def signed(self, party: str, key: Ed25519PrivateKey) -> Bundle:
        """This bundle with ``party``'s signature added."""
        signature = sign_contract(self.contract, party, key)
        return Bundle(self.contract, {**self.signatures, party: signature})

    def merged(self, other: Bundle) -> Bundle:
        """The signatures of both. Raises `Refusal` ``contract.hash`` if the contracts differ."""
        if other.contract.hash != self.contract.hash:
            raise Refusal(
                "contract.hash",
                f"two bundles of contract {self.contract.id!r} hold different texts",
                remedy="agree on one text, and sign that one",
                where=f"contract {self.contract.id}",
            )
        return Bundle(self.contract, {**self.signatures, **other.signatures})

    def missing(self) -> tuple[str, ...]:
        """Parties that have not signed, in the contract's order."""
        return tuple(p.name for p in self.contract.parties if p.name not in self.signatures)

    def verify_all(self) -> None:
        """Return only if every party has signed this very text.

        Raises `Refusal` ``contract.unsigned`` or ``contract.signature``, naming the parties.
        """
        where = f"contract {self.contract.id}"
        wrong = [
            party
            for party, signature in sorted(self.signatures.items())
            if not contract_signed(self.contract, party, signature)
        ]
        if wrong:
            raise Refusal(
                "contract.signature",
                f"the signature of {_list(wrong)} does not fit this text of the contract",
                remedy="check that everybody has the same text, and let them sign it again",
                where=where,
            )
        missing = self.missing()
        if missing:
            raise Refusal(
                "contract.unsigned",
                f"{_list(missing)} {'has' if len(missing) == 1 else 'have'} not signed the contract",
                remedy="send them the bundle to review and sign, then import what they return",
                where=where,
            )

    def to_json(self) -> bytes:
        """The bundle as a file: JSON that is indented for people, ends with a newline."""
        document = {
            "format": BUNDLE_FORMAT,
            "contract": self.contract.fields(),
            "hash": self.contract.hash,
            "signatures": dict(sorted(self.signatures.items())),
        }
        return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read a bundle. Raises `Refusal` ``contract.malformed`` or ``contract.hash``.

        Signatures are read, not verified: a bundle travels while it is being signed.
        """
        document = _document(data, "contract.malformed", "the bundle")
        try:
            envelope = _Envelope.model_validate_json(json.dumps(document))
        except ValidationError as error:
            keys = _Envelope.model_fields
            raise refusal("contract.malformed", "the bundle", error, document, keys) from error
        contract = Contract.from_fields(envelope.contract)
        if envelope.format != BUNDLE_FORMAT:
            raise _unreadable("contract.malformed", "the bundle", f"it is not {BUNDLE_FORMAT}")
        if contract.hash != envelope.hash:
            raise Refusal(
                "contract.hash",
                f"the text of contract {contract.id!r} is not the one its bundle was made for",
                remedy="ask the party that sent it for the file again; it was changed on the way",
                where=f"contract {contract.id}",
            )
        return cls(contract, envelope.signatures)


class _Envelope(Document):
    format: str
    contract: dict[str, Any]
    hash: Hash
    signatures: dict[Slug, Signature]


class Permit(Document):
    """One party's agreement to one job: a signature over the job's hash."""

    job_hash: Hash
    party: Slug
    signature: Signature

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """A permit that a peer sent. Raises `Refusal` ``permit.malformed``."""
        try:
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            keys = cls.model_fields
            raise refusal("permit.malformed", "the permit", error, fields, keys) from error

    def fields(self) -> dict[str, str]:
        """The permit as plain values."""
        return self.model_dump(mode="json")


def sign_permit(contract: Contract, job_hash: str, party: str, key: Ed25519PrivateKey) -> Permit:
    """``party``'s permit for the job. Call it only with a `Grant` in hand.

    Raises `Refusal` ``contract.party`` or ``contract.key`` as `sign_contract` does.
    """
    signature = _sign(contract, party, key, PERMIT_PREFIX + bytes.fromhex(job_hash))
    return Permit(job_hash=job_hash, party=party, signature=signature)


def verify_permits(
    contract: Contract, job_hash: str, permits: Iterable[Permit], required: Iterable[str]
) -> None:
    """Return only if every party in ``required`` permitted this very job.

    Raises `Refusal` ``permit.missing`` naming who has not, and `Foul` ``permit.signature`` naming
    whose permit is for something else or not theirs.
    """
    message = PERMIT_PREFIX + bytes.fromhex(job_hash)
    given = set()
    for permit in permits:
        if permit.job_hash != job_hash:
            wrong = "is for another job"
        elif not _valid(contract, permit.party, message, permit.signature):
            wrong = "carries a signature that is not theirs"
        else:
            wrong = ""
        if wrong:
            raise Foul(
                "permit.signature",
                f"the permit of {permit.party} {wrong}",
                remedy="start the job again; if it happens again, ask that party about its node",
                where=f"job {job_hash[:16]}",
            )
        given.add(permit.party)
    missing = sorted(set(required) - given)
    if missing:
        raise Refusal(
            "permit.missing",
            f"{_list(missing)} has not permitted the job",
            remedy="see their reason in the job's log, and start the job again",
            where=f"job {job_hash[:16]}",
        )


def _sign(contract: Contract, party: str, key: Ed25519PrivateKey, message: bytes) -> str:
    known = contract.party(party)
    where = f"contract {contract.id}"
    if known is None:
        raise Refusal(
            "contract.party",
            f"{party!r} is not a party to the contract",
            remedy="sign as one of " + ", ".join(p.name for p in contract.parties),
            where=where,
        )
    if key.public_key().public_bytes_raw().hex() != known.signing_key:
        raise Refusal(
            "contract.key",
            f"the contract names another signing key for {party}",
            remedy="sign with the key in the contract, or agree on a contract with the new key",
            where=where,
        )
    return key.sign(message).hex()


def _valid(contract: Contract, party: str, message: bytes, signature: str) -> bool:
    known = contract.party(party)
    if known is None:
        return False
    try:
        public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(known.signing_key))
        public_key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _document(data: bytes | str, code: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unreadable(code, what, "it is not valid JSON") from error
    if not isinstance(document, dict):
        raise _unreadable(code, what, "it is not a JSON object")
    return document


def _unreadable(code: str, what: str, why: str) -> Refusal:
    return Refusal(
        code,
        f"{what} cannot be read: {why}",
        remedy="ask for it again from the party that sent it",
        where=what,
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
