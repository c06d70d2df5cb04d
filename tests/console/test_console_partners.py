"""Partners through the console: invited, accepted, compared by telephone, revoked; and the node's health."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_stage import Bench, bench, new_node


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    with (
        bench(new_node(tmp_path / "one")) as one,
        bench(new_node(tmp_path / "two", "map-house", "A map company")) as other,
    ):
        yield one, other


def test_an_invitation_travels_and_the_digits_are_compared_by_telephone(
    two: tuple[Bench, Bench],
) -> None:
    one, other = two
    inviting, invited = one.browser("operator"), other.browser("operator")
    inviting.get("/partners")
    page = inviting.post("/partners/invite", {"holds": "media", "address": "node.example:7470"})
    link = page.text.split('<pre id="link" tabindex="0">')[1].split("</pre>")[0]
    digits = inviting.api("GET", "/partners/card").json()["spoken"]
    assert digits in page.text
    invited.get("/partners")
    assert invited.post("/partners/accept", {"invitation": link}).status_code == 303
    listed = invited.api("GET", "/partners").json()["rows"]
    assert [(p["party"], p["holds"], p["confirmed"]) for p in listed] == [
        ("media-house", ["media"], False)
    ]
    assert "digits not compared yet" in invited.get("/partners").text
    assert (
        invited.post("/partners/media-house/confirm", {"digits": "0000 0000 0000 0000"}).status_code
        == 409
    )
    assert invited.post("/partners/media-house/confirm", {"digits": digits}).status_code == 303
    assert invited.api("GET", "/partners").json()["rows"][0]["confirmed"] is True
    assert "digits compared" in invited.get("/partners").text
    entry = other.ledger()[-1]
    assert (entry["action"], entry["of"], entry["outcome"]) == (
        "partner.change",
        {"party": "media-house"},
        "done",
    )


def test_a_meddled_invitation_is_refused_and_nothing_is_added(two: tuple[Bench, Bench]) -> None:
    one, other = two
    inviting, invited = one.browser("operator"), other.browser("operator")
    made = inviting.api(
        "POST", "/partners/invitations", json={"holds": ["map"], "note": "hello"}
    ).json()
    forged = made["file"].replace("hello", "hullo")
    for text in (forged, made["link"][:-8], "", "hanse:invite:"):
        refused = invited.api("POST", "/partners/accepted", json={"invitation": text})
        assert 400 <= refused.status_code < 500, refused.text
        assert refused.json()["remedy"]
    assert invited.api("GET", "/partners").json()["rows"] == []
    assert (
        inviting.api("POST", "/partners/invitations", json={"holds": ["everything"]}).status_code
        < 500
    )
    accepted = invited.api(
        "POST", "/partners/accepted", json={"invitation": made["link"], "digits": made["spoken"]}
    )
    assert accepted.json()["confirmed"] is True


def test_revoking_needs_a_reason_and_ends_the_partner(two: tuple[Bench, Bench]) -> None:
    one, other = two
    card = one.browser("operator").api("GET", "/partners/card").json()["card"]
    operator, legal = other.browser("operator"), other.browser("legal")
    assert operator.api("POST", "/partners", json={"card": card}).status_code == 201
    assert (
        legal.api("POST", "/partners/media-house/revocation", json={"reason": " "}).status_code
        == 409
    )
    told = legal.api(
        "POST", "/partners/media-house/revocation", json={"reason": "their key is lost"}
    ).json()
    assert told["suspended"] == []
    assert operator.api("GET", "/partners").json()["rows"] == []


def test_the_node_s_health_is_examined(two: tuple[Bench, Bench]) -> None:
    auditor = two[0].browser("auditor")
    rows = auditor.api("GET", "/node/health").json()["rows"]
    assert {"keys", "ledger", "node"} <= {row["topic"] for row in rows}
    assert all(row["remedy"] for row in rows if row["state"] == "bad")
    page = auditor.get("/health").text
    assert "Health of the node" in page
    assert all(row["topic"] in page for row in rows)
