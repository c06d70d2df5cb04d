"""``hanse value``: periods that are none."""

from __future__ import annotations

from cli_stage import Hanse, MakeNode, refused


def test_a_period_ends_after_it_begins(hanse: Hanse, make_node: MakeNode) -> None:
    media = make_node("media-house")
    ran = hanse("value", "usage", "--from", "2026-11-30", "--to", "2026-11-01", "--node", media)
    refused(ran, "usage", "--from is after --to", status=2)
    ran = hanse("value", "usage", "--from", "2026-11-01", "--to", "2026-11-01", "--node", media)
    assert ran.status == 0, ran.err
