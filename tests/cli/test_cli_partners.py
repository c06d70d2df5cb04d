"""``hanse partner``."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, refused

from hanse.clock import SystemClock
from hanse.errors import Refusal
from hanse.node.identity.invitations import as_link, invite, read_invitation
from hanse.node.identity.keys import load_identity


def test_a_partner_comes_and_goes(hanse: Hanse, make_node: MakeNode) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    added = hanse(
        "partner", "add", retailer / "identity.json", "--address", "127.0.0.1:7471", "--node", media
    )
    assert added.status == 0, added.err
    (found,) = hanse("partner", "list", "--json", "--node", media).json
    assert (found["party"], found["address"], found["linked"]) == (
        "retail-chain",
        "127.0.0.1:7471",
        None,
    )
    assert found["spoken"] in added.out
    assert "retail-chain" in hanse("partner", "list", "--node", media).out
    assert hanse("partner", "remove", "retail-chain", "--node", media).status == 0
    assert hanse("partner", "list", "--json", "--node", media).json == []
    kinds = [e["kind"] for e in hanse("ledger", "list", "--json", "--node", media).json]
    assert kinds == ["partner", "partner"]


def test_the_own_card_can_be_sent_on_and_its_digits_read_out(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path
) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    shown = hanse("partner", "card", "--node", media)
    sent = tmp_path / "card.json"
    sent.write_text(shown.out)
    added = hanse("partner", "add", sent, "--node", retailer)
    assert added.status == 0, added.err
    digits = shown.err.strip().rpartition(": ")[2]
    assert len(digits.replace(" ", "")) == 16
    assert digits in added.out


def test_bad_cards_are_refused(hanse: Hanse, make_node: MakeNode, tmp_path: Path) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    card = json.loads((retailer / "identity.json").read_text())
    card["organisation"] = "Somebody else"
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(card))
    empty = tmp_path / "empty.json"
    empty.write_bytes(b"")
    add = ["partner", "add", "--node", media]
    refused(hanse(*add, altered), "identity.tampered", "retail-chain", "telephone")
    refused(hanse(*add, empty), "identity.malformed")
    refused(hanse(*add, tmp_path / "none.json"), "file.missing", "none.json")
    refused(hanse(*add, tmp_path), "file.unreadable")
    refused(hanse(*add, media / "identity.json"), "partner.self")
    refused(hanse(*add, retailer / "identity.json", "--address", "nowhere"), "usage", status=2)
    assert hanse("partner", "list", "--json", "--node", media).json == []


def test_removing_a_stranger_names_those_there_are(hanse: Hanse, make_node: MakeNode) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    hanse("partner", "add", retailer / "identity.json", "--node", media)
    refused(
        hanse("partner", "remove", "nobody", "--node", media), "partner.unknown", "retail-chain"
    )


def test_an_invitation_is_accepted_and_confirmed_by_its_digits(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path
) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    link = hanse("partner", "invite", "--holds", "retail", "--holds", "shop", "--address", "10.0.0.1:7470",
                 "--note", "Good day", "--node", retailer)  # fmt: skip
    assert link.status == 0, link.err
    digits = link.err.strip().splitlines()[-1].rpartition(": ")[2]
    accepted = hanse("partner", "accept", link.out.strip(), "--node", media)
    assert accepted.status == 0, accepted.err
    assert "Good day" in accepted.out
    (row,) = hanse("partner", "list", "--json", "--node", media).json
    assert (row["holds"], row["address"], row["confirmed"]) == (
        ["retail", "shop"],
        "10.0.0.1:7470",
        False,
    )
    wrong = "0000" if not digits.startswith("0000") else "1111"
    refused(hanse("partner", "confirm", "retail-chain", "--digits", wrong + digits[4:], "--node", media),
            "partner.digits", "somebody is between you")  # fmt: skip
    assert (
        hanse("partner", "confirm", "retail-chain", "--digits", digits, "--node", media).status == 0
    )
    assert hanse("partner", "list", "--json", "--node", media).json[0]["confirmed"] is True
    file = tmp_path / "invitation.json"
    assert hanse("partner", "invite", file, "--node", media).status == 0
    own = hanse("partner", "card", "--node", media).err.rpartition(": ")[2].strip()
    assert hanse("partner", "accept", file, "--digits", own.upper(), "--node", retailer).status == 0
    assert hanse("partner", "list", "--json", "--node", retailer).json[0]["confirmed"] is True


def test_a_changed_old_or_broken_invitation_is_refused(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path
) -> None:
    media, retailer = make_node("media-house"), make_node("retail-chain")
    file = tmp_path / "invitation.json"
    assert (
        hanse("partner", "invite", file, "--address", "10.0.0.1:7470", "--node", retailer).status
        == 0
    )
    good = file.read_text()
    file.write_text(good.replace("10.0.0.1", "10.0.0.2"))
    refused(
        hanse("partner", "accept", file, "--node", media), "invitation.tampered", "retail-chain"
    )
    fields = json.loads(good)
    fields["made"] = fields["expires"] = "2020-01-01T00:00:00+00:00"
    file.write_text(json.dumps(fields))
    refused(hanse("partner", "accept", file, "--node", media), "invitation.tampered")
    file.write_text(good[:-20])
    refused(hanse("partner", "accept", file, "--node", media), "invitation.malformed")
    refused(hanse("partner", "accept", "hanse:invite:abc", "--node", media), "invitation.malformed")
    refused(hanse("partner", "invite", "--holds", "gossip", "--node", media), "invitation.holds")
    assert hanse("partner", "list", "--json", "--node", media).json == []


def test_an_invitation_serves_for_two_weeks(make_node: MakeNode) -> None:
    identity = load_identity(make_node("media-house"), clock=SystemClock())
    now = SystemClock().now()
    text = as_link(invite(identity, None, ["map"], "", now))
    assert read_invitation(text, now + timedelta(days=13)).holds == ("map",)
    with pytest.raises(Refusal) as refusal:
        read_invitation(text, now + timedelta(days=15))
    assert refusal.value.code == "invitation.expired"
