"""Identity cards: what a node hands to its partners so that they can recognise it.

A card names the party and pins two keys: the Ed25519 key that signs contracts, permits and ledger
entries, and the certificate of the node's TLS connections. It is signed with the signing key, so a
card that was altered after it was written shows. A card that was *replaced* does not: partners
compare the short `IdentityCard.spoken` form over another channel (a telephone will do).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, ValidationError

from hanse.errors import Foul
from hanse.wire.codec import canonical, parse_document

CARD_FORMAT = 1
_PURPOSE = b"hanse-identity-v1|"
PARTY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{2,63}")


class IdentityCard(BaseModel):
    """A party's name and public keys; see `read_card` for how a received one is checked.

    ``signing_key``, ``fingerprint`` and ``signature`` are lower-case hexadecimal, ``certificate``
    is PEM, ``fingerprint`` the SHA-256 of the certificate's DER form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    party: str
    organisation: str
    signing_key: str
    certificate: str
    fingerprint: str
    signature: str

    @classmethod
    def sign(
        cls,
        party: str,
        organisation: str,
        signing_key: Ed25519PrivateKey,
        certificate: x509.Certificate,
    ) -> Self:
        """The signed card of the node that holds ``signing_key`` and ``certificate``."""
        fields: dict[str, Any] = {
            "format": CARD_FORMAT,
            "party": party,
            "organisation": organisation,
            "signing_key": signing_key.public_key().public_bytes_raw().hex(),
            "certificate": certificate.public_bytes(Encoding.PEM).decode(),
            "fingerprint": fingerprint_of(certificate),
        }
        signature = signing_key.sign(_PURPOSE + canonical(fields)).hex()
        return cls(**fields, signature=signature)

    def document(self) -> dict[str, Any]:
        """The card as the JSON object that `read_card` reads."""
        return self.model_dump()

    def x509(self) -> x509.Certificate:
        """The certificate, parsed."""
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def spoken(self) -> str:
        """16 hexadecimal digits over the whole card, in fours, to be compared by voice."""
        digits = hashlib.sha256(canonical(self.document())).hexdigest()[:16]
        return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def fingerprint_of(certificate: x509.Certificate | bytes) -> str:
    """SHA-256 of a certificate (parsed, or its DER bytes), in hexadecimal."""
    if isinstance(certificate, x509.Certificate):
        certificate = certificate.public_bytes(Encoding.DER)
    return hashlib.sha256(certificate).hexdigest()


def read_card(data: bytes | dict[str, Any]) -> IdentityCard:
    """A received card, checked in itself: form, fingerprint, names in the certificate, signature.

    Raises `Foul` with code ``identity.malformed`` or ``identity.tampered``.
    """
    try:
        document = parse_document(data) if isinstance(data, bytes) else data
        card = IdentityCard.model_validate(document)
        certificate = card.x509()
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(card.signing_key))
        signature = bytes.fromhex(card.signature)
    except (Foul, ValidationError, ValueError) as error:
        raise Foul(
            "identity.malformed",
            "this is not an identity card that Hanse can read",
            remedy="ask the partner for the identity.json in its node's folder, as a file",
            detail=str(error),
        ) from error
    if card.format != CARD_FORMAT:
        raise Foul(
            "identity.malformed",
            f"the identity card has format {card.format}, this version reads {CARD_FORMAT}",
            remedy="run the same Hanse version on both sides",
        )
    fields = card.model_dump(exclude={"signature"})
    try:
        key.verify(signature, _PURPOSE + canonical(fields))
    except InvalidSignature as error:
        raise _tampered(card, "its signature does not fit its content") from error
    if fingerprint_of(certificate) != card.fingerprint:
        raise _tampered(card, "its fingerprint is not that of its certificate")
    if PARTY_PATTERN.fullmatch(card.party) is None:
        raise _tampered(card, "its party name is not a slug")
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if [name.value for name in names] != [card.party]:
        raise _tampered(card, "its certificate was made for another party name")
    return card


def _tampered(card: IdentityCard, what: str) -> Foul:
    return Foul(
        "identity.tampered",
        f"the identity card of {card.party[:64]!r} cannot be trusted: {what}",
        remedy="ask the partner for its card again and compare the spoken form by telephone",
    )


def validity_problem(certificate: x509.Certificate, now: datetime) -> tuple[str, str] | None:
    """Why a certificate does not hold at ``now``: (``"expired"`` or ``"not-yet-valid"``, sentence).

    ``None`` if it holds. The sentence continues "the certificate ...".
    """
    if now > certificate.not_valid_after_utc:
        return "expired", f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        start = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        return "not-yet-valid", f"is not valid before {start} UTC"
    return None
