"""Mutual TLS 1.3 between nodes that have pinned each other's certificates; no authority is asked.

TLS itself proves that the peer holds the key of *some* partner's certificate: the pinned
certificates are the only trust anchors. Right after the handshake, before anything else is sent,
`proven_peer` compares the fingerprint with the partner's, and `check_dates` the dates with our
clock. Dates are checked there and not inside TLS, because a TLS alert cannot carry the date, while
the rejection that follows a failed check tells both sides.
"""

from __future__ import annotations

import ssl
from datetime import datetime

from hanse.errors import Fault, Foul, HanseError
from hanse.node.identity.cards import fingerprint_of, validity_problem
from hanse.node.identity.keys import Identity
from hanse.node.identity.partners import Directory, Partner

# X509_V_FLAG_NO_CHECK_TIME, which Python does not name; see above for who checks the dates.
_NO_CHECK_TIME = 0x200000
# AES-128-GCM costs a quarter less CPU than AES-256-GCM. Python before 3.15 cannot order the suites
# of TLS 1.3 (the process's OPENSSL_CONF can); both are accepted everywhere.
_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


def tls_context(identity: Identity, directory: Directory, *, dialling: bool) -> ssl.SSLContext:
    """A context for one handshake, trusting exactly the partners of this moment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if dialling else ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The name is checked against the pin by `proven_peer`, not against a host name.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    if not dialling:
        # No resumption: each connection proves its key anew, and nothing follows the handshake.
        context.num_tickets = 0
    set_suites = getattr(context, "set_ciphersuites", None)
    if set_suites is not None:
        set_suites(_SUITES)
    trusted = "".join(partner.card.certificate for partner in directory.all())
    if trusted:
        context.load_verify_locations(cadata=trusted)
    try:
        context.load_cert_chain(identity.tls_certificate_file, identity.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise Fault(
            "keys.missing",
            "the certificate and key of this node cannot be loaded",
            remedy="restore the key folder from the backup, then start the node again",
            where=str(identity.tls_key_file.parent),
        ) from error
    return context


def proven_peer(tls: ssl.SSLSocket, directory: Directory, expected: str | None) -> Partner:
    """Who is at the other end of a finished handshake: the partner whose certificate it proved.

    ``expected`` is the party that was dialled, ``None`` for a node that dialled us. Raises `Foul`
    ``peer.certificate-unknown`` or ``peer.certificate-wrong``; its message can be told to the peer.
    """
    der = tls.getpeercert(binary_form=True)
    if not der:
        raise Foul("peer.certificate-unknown", "the node presented no certificate")
    fingerprint = fingerprint_of(der)
    partner = directory.holder(fingerprint)
    if partner is None:
        raise unknown_certificate(expected, directory, fingerprint)
    if expected is not None and partner.name != expected:
        raise wrong_certificate(expected, partner.name)
    return partner


def check_dates(partner: Partner, now: datetime) -> None:
    """Raise `Foul` ``peer.certificate-expired`` or ``-not-yet-valid``, which name the date."""
    problem = validity_problem(partner.card.x509(), now)
    if problem is not None:
        raise Foul(
            f"peer.certificate-{problem[0]}",
            f"the certificate of {partner.name!r} {problem[1]}",
            remedy=f"{partner.name} renews its certificate and sends its partners the new "
            "identity card; if the date seems wrong, compare both machines' clocks",
            where=partner.name,
        )


def unknown_certificate(expected: str | None, directory: Directory, fingerprint: str = "") -> Foul:
    """The peer's certificate is nobody's in the partner directory."""
    who = "a node" if expected is None else f"the node of {expected!r}"
    shown = f" {fingerprint[:16]}..." if fingerprint else ""
    partner = directory.get(expected) if expected is not None else None
    pinned = f" (pinned: {partner.fingerprint[:16]}...)" if partner is not None else ""
    return Foul(
        "peer.certificate-unknown",
        f"{who} presented a certificate{shown} that is not in the partner directory{pinned}",
        remedy="if it is a partner, ask it for its current identity card and add it again",
        where=expected or "",
    )


def wrong_certificate(claimed: str, holder: str) -> Foul:
    """The peer proved to be one partner where another was dialled or claimed."""
    return Foul(
        "peer.certificate-wrong",
        f"a node in the place of {claimed!r} presented the certificate of {holder!r}",
        remedy="check the partner's address; if it is right, ask that partner about its node",
        where=claimed,
    )


def tls_error(error: ssl.SSLError, party: str | None, directory: Directory | None) -> HanseError:
    """What a failed TLS operation means, in words. ``party`` is who should be at the other end."""
    reason = (error.reason or "").upper()
    who = "the other node" if party is None else f"the node of {party!r}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return unknown_certificate(party, directory or Directory())
    if "BAD_RECORD_MAC" in reason or "DECRYPTION_FAILED" in reason:
        # Either ours failed to open (no ALERT in the reason) or the peer reports that theirs did.
        told = f"{who} reports that bytes from here" if "ALERT" in reason else f"bytes from {who}"
        return Fault(
            "link.tampered",
            f"{told} were altered on the way",
            remedy="rerun the job; if it happens again, look for a faulty or hostile machine "
            "between the two nodes (proxy, firewall, network card)",
            where=party or "",
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return Foul(
            "peer.certificate-refused",
            f"{who} does not know the certificate of this node",
            remedy="send that partner this node's current identity card (identity.json)",
            where=party or "",
        )
    return Fault(
        "peer.tls",
        f"no TLS 1.3 connection with {who}: {error.reason or type(error).__name__}",
        remedy="check that address and port are those of a Hanse node and that no proxy "
        "intercepts the connection",
        where=party or "",
    )
