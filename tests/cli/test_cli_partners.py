"""``hanse partner``."""

from __future__ import annotations

import json
from pathlib import Path

from cli_stage import Hanse, MakeNode, refused


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
