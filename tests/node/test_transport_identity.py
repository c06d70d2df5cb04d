"""Who may link: pinned certificates only; a refused node and the refusing one both learn why."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from transport_stage import (
    Federation,
    ShiftedClock,
    Waiting,
    federation,
    make_identity,
)

from hanse.clock import ManualClock
from hanse.errors import HanseError
from hanse.node.identity.cards import IdentityCard
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.exchange import Exchange
from hanse.node.transport.tls import tls_context

WITHIN = 5.0  # seconds in which both sides must know


def refused_at(exchange: Exchange, code: str) -> HanseError:
    """The error with which a node's port refused somebody, once it has."""
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        for refusal in exchange.refusals():
            if refusal.error.code == code:
                return refusal.error
        time.sleep(0.02)
    raise AssertionError(f"no {code} among {[r.error.code for r in exchange.refusals()]}")


def both_fail(ant: Exchange, bee: Exchange) -> tuple[HanseError, HanseError]:
    """What each side's caller gets when it wants the other."""
    waits = Waiting(lambda: ant.request("bee", {})), Waiting(lambda: bee.request("ant", {}))
    one, two = waits[0].ended(WITHIN), waits[1].ended(WITHIN)
    for error in (one, two):
        assert error.remedy
    return one, two


def test_a_dialler_that_nobody_knows(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        nodes.identities["ant"] = make_identity(tmp_path, "ant")  # not the one that bee pinned
        ant = nodes.add("ant", knows=("bee",))
        told, telling = both_fail(ant, bee)
        assert told.code == "peer.certificate-refused"
        assert "'bee'" in told.message
        assert "identity card" in told.remedy
        assert telling.code == "peer.unreachable"
        assert "not in the partner directory" in telling.message
        refused_at(bee, "peer.certificate-unknown")


def test_a_dialled_node_with_another_certificate_than_pinned(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        nodes.identities["bee"] = make_identity(tmp_path, "bee")  # what ant will pin
        ant = nodes.add("ant", knows=("bee",))
        telling, told = both_fail(ant, bee)
        assert telling.code == "peer.certificate-unknown"
        assert "'bee'" in telling.message
        assert nodes.identity("bee").card.fingerprint[:16] in telling.message
        assert told.code == "peer.unreachable"
        assert "does not know the certificate of this node" in told.message
        refused_at(bee, "peer.certificate-refused")


def test_a_known_party_in_the_place_of_another(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        cat = nodes.add("cat", knows=("ant",))
        # ant looks for bee where cat listens; both are partners of ant.
        ant = nodes.add("ant", knows=("bee", "cat"), addresses={"bee": cat.address, "cat": None})
        error = Waiting(lambda: ant.request("bee", {})).ended(WITHIN)
        assert error.code == "peer.certificate-wrong"
        assert "'bee'" in error.message
        assert "'cat'" in error.message
        told = refused_at(cat, "peer.certificate-wrong")
        assert told.where.startswith("ant")


def test_a_dialler_that_claims_another_name(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant", "cat"))
        # A partner (cat) whose node says it is ant, with cat's own keys.
        cat = nodes.identity("cat")
        liar = type(cat)(
            party="ant",
            organisation=cat.organisation,
            card=cat.card,
            signing_key=cat.signing_key,
            tls_key_file=cat.tls_key_file,
            tls_certificate_file=cat.tls_certificate_file,
        )
        directory = Directory([Partner(nodes.identity("bee").card, bee.address)])
        with Exchange(liar, directory, listen=None, timing=nodes.timing) as exchange:
            error = Waiting(lambda: exchange.request("bee", {})).ended(WITHIN)
            assert error.code == "peer.certificate-wrong"
            assert error.where.startswith("bee")
        refused = refused_at(bee, "peer.certificate-wrong")
        assert "'ant'" in refused.message
        assert "'cat'" in refused.message


@pytest.mark.parametrize("expired", ["ant", "bee"])
def test_an_expired_certificate_names_party_and_date_on_both_sides(
    tmp_path: Path, expired: str
) -> None:
    with federation(tmp_path) as nodes:
        past = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))
        nodes.identities[expired] = make_identity(tmp_path, expired, clock=past, days=30)
        bee = nodes.add("bee", knows=("ant",))
        ant = nodes.add("ant", knows=("bee",))
        for error in both_fail(ant, bee):
            assert error.code == "peer.certificate-expired"
            assert f"'{expired}'" in error.message
            assert "2024-05-31" in error.message


def test_a_certificate_that_is_not_yet_valid_names_the_date(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",), clock=ShiftedClock(timedelta(days=-1)))
        ant = nodes.add("ant", knows=("bee",))
        day = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%d}"
        for error in both_fail(ant, bee):
            assert error.code == "peer.certificate-not-yet-valid"
            assert "'ant'" in error.message
            assert day in error.message


def test_another_wire_version_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        ant = nodes.add("ant", knows=("bee",))
        ant.wait_for("bee", 3)
        ant.close()
        # From here on every greeting that ant makes says version 2.
        monkeypatch.setattr("hanse.node.transport.greeting.WIRE_VERSION", 2)
        hello = Exchange(
            nodes.identity("ant"),
            Directory([Partner(nodes.identity("bee").card, bee.address)]),
            listen=None,
            timing=nodes.timing,
        )
        monkeypatch.setattr("hanse.node.transport.greeting.WIRE_VERSION", 1)
        with hello:
            error = Waiting(lambda: hello.request("bee", {})).ended(WITHIN)
            assert error.code == "peer.version"
            assert "version 2" in error.message
            assert refused_at(bee, "peer.version").code == "peer.version"


def test_a_corrected_card_heals_the_link(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        nodes.identities["ant"] = make_identity(tmp_path, "ant")
        ant = nodes.add("ant", knows=("bee",))
        both_fail(ant, bee)
        bee.meet(Partner(nodes.identity("ant").card))
        until = time.monotonic() + 3
        while not ant.status()[0].connected and time.monotonic() < until:
            time.sleep(0.05)
        ant.wait_for("bee", 1)


def plain_talk(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address, timeout=WITHIN) as stranger:
        stranger.sendall(data)
        answer = b""
        while part := stranger.recv(4096):
            answer += part
        return answer


def test_strangers_without_tls_are_hung_up_on(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        plain_talk(bee.address, b"GET / HTTP/1.1\r\n\r\n")
        assert "TLS" in refused_at(bee, "peer.tls").message
        ant = nodes.add("ant", knows=("bee",))
        ant.wait_for("bee", 3)


def test_a_silent_stranger_is_hung_up_on_and_holds_nobody_up(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        with socket.create_connection(bee.address, timeout=WITHIN) as silent:
            ant = nodes.add("ant", knows=("bee",))
            ant.wait_for("bee", 1.5)
            assert silent.recv(1) == b""
        refused_at(bee, "peer.unreachable")


def stranger_context(nodes: Federation, adjust: Callable[[ssl.SSLContext], None]) -> ssl.SSLContext:
    context = tls_context(
        nodes.identity("ant"), Directory([Partner(nodes.identity("bee").card)]), dialling=True
    )
    adjust(context)
    return context


def test_only_tls_13_is_spoken(tmp_path: Path) -> None:
    def older(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        context = stranger_context(nodes, older)
        with (
            socket.create_connection(bee.address, timeout=WITHIN) as plain,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(plain)
        refused_at(bee, "peer.tls")


def test_a_node_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname = False
        bare.load_verify_locations(cadata=nodes.identity("bee").card.certificate)
        with (
            socket.create_connection(bee.address, timeout=WITHIN) as plain,
            pytest.raises(ssl.SSLError),
            bare.wrap_socket(plain) as tls,
        ):
            tls.recv(1)
        assert "CERTIFICATE" in refused_at(bee, "peer.tls").message


def test_a_partners_certificate_cannot_vouch_for_another(tmp_path: Path) -> None:
    """A certificate that a partner's key signed is not the partner's certificate."""
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        ant = nodes.identity("ant")
        chain = issue_under(ant.card, ant.tls_key_file, tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=nodes.identity("bee").card.certificate)
        context.load_cert_chain(*chain)
        with (
            socket.create_connection(bee.address, timeout=WITHIN) as plain,
            pytest.raises(ssl.SSLError),
            context.wrap_socket(plain) as tls,
        ):
            tls.recv(1)
        refused_at(bee, "peer.certificate-unknown")


def issue_under(card: IdentityCard, key_file: Path, folder: Path) -> tuple[Path, Path]:
    """A certificate for a new key, signed with the key of ``card`` as if it were an authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    issuer = card.x509()
    issuer_key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ant")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain, private = folder / "chain.pem", folder / "private.pem"
    chain.write_bytes(certificate.public_bytes(pem) + card.certificate.encode())
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private
