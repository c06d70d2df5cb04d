"""A certificate that partners do not know, know another of, or that has expired: what a job makes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fault_federation import CHARGED, NAMES, Federation, ShiftedClock, until
from fault_people import is_right, parameters

from hanse.clock import SystemClock
from hanse.entropy import SystemEntropy
from hanse.errors import Fault
from hanse.node.daemon import Node
from hanse.node.identity.keys import renew_certificate
from hanse.node.jobs.runner import Question

WITHIN = 5.0


def new_question(federation: Federation, contract: str) -> Question:
    return federation.question(contract, parameters=parameters(contract))


def is_told(federation: Federation, name: str, words: str) -> None:
    """A node knows what is wrong with its certificate: a refused or failed link says so."""

    def said() -> bool:
        exchange = federation[name].running.exchange
        texts = [str(status.problem) for status in exchange.status() if status.problem]
        texts += [str(refused.error) for refused in exchange.refusals()]
        return any(words in text for text in texts)

    until(said, WITHIN, f"told to {name}: {words}")


def renewed(federation: Federation, name: str, *, days: float = 365) -> None:
    """A member's node comes back with a certificate that nobody has heard of."""
    member = federation[name]
    member.stop()
    member.identity = renew_certificate(
        member.folder, clock=SystemClock(), entropy=SystemEntropy(), validity=timedelta(days=days)
    )
    member.start()


def mended(federation: Federation, name: str, contract: str = "") -> None:
    """With the new card at its partners the next job runs, under a contract that names the old certificate too."""
    federation.introduce(name)
    federation.linked()
    asked = new_question(federation, contract or federation.contract())
    assert is_right(federation.people(asked))


@pytest.mark.parametrize("name", ["birch", pytest.param("dune", marks=pytest.mark.slow)])
def test_a_seat_or_provider_with_another_certificate(linked: Federation, name: str) -> None:
    contract = linked.contract()
    renewed(linked, name)
    error, job = linked.fails(new_question(linked, contract), within=WITHIN)
    if name == "birch":
        linked.check_story(error, job, "peer.certificate-unknown", "birch")
        assert set(linked.stories(job)) == {"ash", "cedar", "dune", "elm"}
        assert all(linked[n].budget_of(job) in ("", "released") for n in CHARGED)
    else:  # the providers are asked first: nobody has admitted anything
        assert (error.code, job) == ("peer.certificate-unknown", "")
        assert "'dune'" in error.message
        assert error.remedy
    is_told(linked, name, "does not know the certificate of this node")
    mended(linked, name)


def test_an_asking_node_with_another_certificate(linked: Federation) -> None:
    contract = linked.contract()
    renewed(linked, "elm")
    links = linked["elm"].running.exchange
    known = "does not know the certificate of this node"  # before its first tries it can only say: no link
    until(
        lambda: all(known in str(link.problem) for link in links.status()), WITHIN, "refused by all"
    )
    error, job = linked.fails(new_question(linked, contract), within=WITHIN)
    assert (error.code, job) == ("peer.certificate-refused", "")
    assert "does not know the certificate of this node" in error.message
    assert "identity card" in error.remedy
    for name in ("ash", "birch", "cedar", "dune"):
        is_told(linked, name, "presented a certificate that is not in the partner directory")
    mended(linked, "elm", contract)


@pytest.mark.slow
def test_an_asking_node_that_a_seat_has_removed(linked: Federation) -> None:
    contract = linked.contract()
    with linked["cedar"].office() as office:
        office.remove_partner("elm")
    linked["cedar"].running.exchange.leave("elm")
    error, job = linked.fails(new_question(linked, contract), within=WITHIN)
    linked.check_story(error, job, error.code, "cedar")
    assert error.code in ("peer.certificate-refused", "peer.unreachable", "peer.dropped")
    mended(linked, "elm")


def test_an_expired_certificate(linked: Federation) -> None:
    renewed(linked, "birch", days=1)
    linked.introduce("birch")
    linked.linked()
    contract = linked.contract()
    for name in NAMES:
        linked[name].stop()
    linked["birch"].start()
    for name in ("ash", "cedar", "dune", "elm"):
        linked[name].start(clock=ShiftedClock(days=2))
    # The others still have to find each other, without birch.
    until(
        lambda: all(
            status.connected or status.party == "birch"
            for name in ("ash", "cedar", "dune", "elm")
            for status in linked[name].running.exchange.status()
        ),
        10,
        "linked without birch",
    )
    error, job = linked.fails(new_question(linked, contract), within=WITHIN)
    linked.check_story(error, job, "peer.certificate-expired", "birch")
    day = f"{linked['birch'].identity.card.x509().not_valid_after_utc:%Y-%m-%d}"
    assert day in error.message
    is_told(linked, "birch", "expired")
    for name in NAMES:
        linked[name].stop()
    with pytest.raises(Fault) as told:  # birch itself, once its own clock says so
        Node(linked["birch"].folder, clock=ShiftedClock(days=2))
    assert told.value.code == "keys.expired"
    assert day in told.value.message
    renewed(linked, "birch")
    linked.introduce("birch")
    linked.start()
    mended(linked, "birch")
