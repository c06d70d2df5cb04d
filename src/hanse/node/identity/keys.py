"""A node's own keys: made once, kept in files that only the node's user may read.

    <node folder>/keys/signing.key      Ed25519: contracts, permits, ledger entries
    <node folder>/keys/tls.key          ECDSA P-256: the node's connections
    <node folder>/keys/tls.crt          its self-signed certificate; partners pin the fingerprint
    <node folder>/identity.json         the public card for partners (`cards.IdentityCard`)

The key folder appears complete or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from hanse.clock import Clock
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.node.disk import writing_to
from hanse.node.identity.cards import PARTY_PATTERN, IdentityCard, validity_problem
from hanse.wire.codec import canonical

KEY_FOLDER = "keys"
SIGNING_KEY = "signing.key"
TLS_KEY = "tls.key"
TLS_CERTIFICATE = "tls.crt"
IDENTITY_CARD = "identity.json"
DEFAULT_VALIDITY = timedelta(days=365)
# Clocks of partners differ a little: a certificate made now must already hold on theirs.
_BACKDATED = timedelta(minutes=10)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Identity:
    """The node's loaded keys. The private parts do not print."""

    party: str
    organisation: str
    card: IdentityCard
    signing_key: Ed25519PrivateKey = field(repr=False)
    tls_key_file: Path = field(repr=False)
    tls_certificate_file: Path = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature (64 bytes) of ``message``, which must begin with its purpose."""
        return self.signing_key.sign(message)


def create_identity(
    folder: Path,
    party: str,
    organisation: str,
    *,
    clock: Clock,
    entropy: Entropy,
    validity: timedelta = DEFAULT_VALIDITY,
) -> Identity:
    """Make new keys in the node folder ``folder`` and return them.

    Raises `Refusal` ``keys.exist`` rather than overwrite keys (contracts are signed with them).
    """
    if PARTY_PATTERN.fullmatch(party) is None:
        raise Refusal(
            "keys.party",
            f"{party!r} is not a party name",
            remedy="use 3 to 64 lower-case letters, digits and hyphens, such as 'retailer-north'",
        )
    if (folder / KEY_FOLDER).exists():
        raise _exist(folder)
    signing_key = Ed25519PrivateKey.from_private_bytes(entropy.take(32))
    tls_key, certificate = _new_certificate(party, organisation, clock, entropy, validity)
    draft = folder / f".{KEY_FOLDER}-{entropy.take(8).hex()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        _write_new(draft / SIGNING_KEY, _pem(signing_key))
        _write_new(draft / TLS_KEY, _pem(tls_key))
        _write_new(draft / TLS_CERTIFICATE, certificate.public_bytes(Encoding.PEM))
        # Renaming fails if another process made a (non-empty) key folder in the meantime.
        draft.rename(folder / KEY_FOLDER)
    except (OSError, Fault) as error:
        shutil.rmtree(draft, ignore_errors=True)
        if (folder / KEY_FOLDER).exists():
            raise _exist(folder) from error
        raise _unwritable(error, folder) from error
    try:
        identity = load_identity(folder, clock=clock)
        write_card(folder, identity.card, entropy=entropy)
    except (OSError, Fault) as error:
        # Keys that nobody knows yet would only be in the way of the next try.
        shutil.rmtree(folder / KEY_FOLDER, ignore_errors=True)
        raise _unwritable(error, folder) from error
    return identity


def _unwritable(error: OSError | Fault, folder: Path) -> Fault:
    if isinstance(error, Fault):
        return error
    return Fault(
        "keys.unwritable",
        f"the keys cannot be written: {error.strerror}",
        remedy="check the owner and permissions of the folder",
        where=str(folder),
    )


def load_identity(folder: Path, *, clock: Clock, accept_expired: bool = False) -> Identity:
    """The keys of the node folder ``folder``, checked.

    Raises `Fault`: ``keys.missing``, ``keys.permissions``, ``keys.corrupt``, ``keys.mismatch``,
    ``keys.expired`` or ``keys.not-yet-valid`` (both name the date).
    """
    keys = folder / KEY_FOLDER
    signing_key = _load_private(keys / SIGNING_KEY)
    if not isinstance(signing_key, Ed25519PrivateKey):
        raise _corrupt(keys / SIGNING_KEY, "holds another kind of key than Ed25519")
    tls_key = _load_private(keys / TLS_KEY)
    path = keys / TLS_CERTIFICATE
    try:
        certificate = x509.load_pem_x509_certificate(_read_private(path))
        party = _single_name(certificate, x509.NameOID.COMMON_NAME)
        organisation = _single_name(certificate, x509.NameOID.ORGANIZATION_NAME)
    except ValueError as error:
        raise _corrupt(path, "is not a certificate that Hanse made") from error
    if (
        not isinstance(tls_key, ec.EllipticCurvePrivateKey)
        or certificate.public_key() != tls_key.public_key()
    ):
        raise Fault(
            "keys.mismatch",
            f"{TLS_CERTIFICATE} and {TLS_KEY} do not belong together",
            remedy="restore both files from one backup, or renew the certificate",
            where=str(keys),
        )
    problem = validity_problem(certificate, clock.now())
    if problem is not None and not accept_expired:
        raise Fault(
            f"keys.{problem[0]}",
            f"the certificate of this node {problem[1]}",
            remedy="check this machine's clock; if it is right, renew the certificate and send "
            "partners the new identity card",
            where=str(path),
        )
    return Identity(
        party=party,
        organisation=organisation,
        card=IdentityCard.sign(party, organisation, signing_key, certificate),
        signing_key=signing_key,
        tls_key_file=keys / TLS_KEY,
        tls_certificate_file=path,
    )


def renew_certificate(
    folder: Path,
    *,
    clock: Clock,
    entropy: Entropy,
    validity: timedelta = DEFAULT_VALIDITY,
) -> Identity:
    """Replace TLS key and certificate; the signing key stays. Partners need the new card.

    Raises `Fault` ``keys.unwritable`` or ``disk.full``, and then nothing was replaced.
    """
    old = load_identity(folder, clock=clock, accept_expired=True)
    tls_key, certificate = _new_certificate(old.party, old.organisation, clock, entropy, validity)
    keys = folder / KEY_FOLDER
    # Two renames are not one: after a crash between them `load_identity` says "keys.mismatch",
    # whose remedy is to renew again.
    suffix = entropy.take(8).hex()
    drafts = {TLS_KEY: _pem(tls_key), TLS_CERTIFICATE: certificate.public_bytes(Encoding.PEM)}
    try:
        for name, data in drafts.items():
            _write_new(keys / f".{name}-{suffix}", data)
    except (OSError, Fault) as error:
        for name in drafts:
            (keys / f".{name}-{suffix}").unlink(missing_ok=True)
        raise _unwritable(error, keys) from error
    for name in drafts:
        (keys / f".{name}-{suffix}").rename(keys / name)
    identity = load_identity(folder, clock=clock)
    write_card(folder, identity.card, entropy=entropy)
    return identity


def write_card(folder: Path, card: IdentityCard, *, entropy: Entropy) -> Path:
    """Write ``identity.json`` (public, replaced atomically) and return its path."""
    path = folder / IDENTITY_CARD
    draft = folder / f".{IDENTITY_CARD}-{entropy.take(8).hex()}"
    _write_new(draft, canonical(card.document()) + b"\n", mode=0o644)
    draft.rename(path)
    return path


def _new_certificate(
    party: str, organisation: str, clock: Clock, entropy: Entropy, validity: timedelta
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if not organisation.strip() or len(organisation) > 64:
        raise Refusal(
            "keys.organisation",
            "the organisation's name must have 1 to 64 characters",
            remedy="use the short legal name; the contract can carry the long one",
        )
    # 48 bytes reduced to the group order: the bias is below 2^-128.
    scalar = int.from_bytes(entropy.take(48), "big") % (_P256_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, party),
        ]
    )
    now = clock.now().replace(microsecond=0)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(entropy.take(16), "big") >> 1 | 1)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + validity)
        # Not an authority: a partner that pins this certificate must trust nothing it might sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(party)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create ``path``, readable by nobody else from its first moment, and flush it to the disk."""
    with writing_to(path.parent):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _read_private(path: Path) -> bytes:
    """The bytes of a key file, after checking that only its owner can read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise Fault(
                    "keys.permissions",
                    f"{path.name} can be read or changed by others (mode {mode:04o})",
                    remedy=f"chmod 600 {path}",
                    where=str(path),
                )
            return file.read(1 << 16)
    except FileNotFoundError as error:
        raise Fault(
            "keys.missing",
            f"this node has no {path.name}",
            remedy="run 'hanse init' for a new node, or restore the key folder from the backup",
            where=str(path),
        ) from error
    except PermissionError as error:
        raise Fault(
            "keys.permissions",
            f"{path.name} cannot be read by this user",
            remedy=f"run the node as the user who owns {path}",
            where=str(path),
        ) from error


def _load_private(path: Path) -> object:
    try:
        return load_pem_private_key(_read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _corrupt(path, "is not a key that Hanse made") from error


def _single_name(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    values = [str(name.value) for name in certificate.subject.get_attributes_for_oid(oid)]
    if len(values) != 1:
        raise ValueError("the subject does not have exactly one such name")
    return values[0]


def _corrupt(path: Path, what: str) -> Fault:
    return Fault(
        "keys.corrupt",
        f"{path.name} {what}",
        remedy="restore the key folder from the backup",
        where=str(path),
    )


def _exist(folder: Path) -> Refusal:
    return Refusal(
        "keys.exist",
        "this node already has keys; contracts are signed with them",
        remedy="choose another folder, or renew only the certificate",
        where=str(folder / KEY_FOLDER),
    )
