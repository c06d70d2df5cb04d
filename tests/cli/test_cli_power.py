"""``hanse power``: what could be seen, at several prices, without asking anybody."""

from __future__ import annotations

import pytest
from cli_stage import Hanse, refused

from hanse.measure.lift.power import Design, sizes_for_share_lift, smallest_share_lift

ARMS = ("power", "--treated", "20000", "--control", "10000")


def test_a_table_of_prices(hanse: Hanse) -> None:
    ran = hanse(*ARMS, "--share", "0.01", "--epsilon", "2", "--epsilon", "0.5")
    assert ran.status == 0, ran.err
    lines = [line.split() for line in ran.out.splitlines() if "%" in line]
    assert [line[0] for line in lines] == ["0.5", "2", "none"]
    lifts = [float(line[1]) for line in lines]
    assert lifts == sorted(lifts, reverse=True)
    assert "20,000 treated and 10,000 control" in ran.out
    assert "no node answers so" in ran.out


def test_json_holds_what_the_functions_say(hanse: Hanse) -> None:
    ran = hanse(*ARMS, "--share", "0.01", "--outcomes", "2", "--values", "1", "--most", "63", "--segments", "3",
                "--lift", "0.01", "--epsilon", "1", "--k", "50", "--json")  # fmt: skip
    assert ran.status == 0, ran.err
    design = Design(20_000, 10_000, 1.0, 50, 3, shares=2, caps=(63,))
    found, needed = smallest_share_lift(design, 0.01), sizes_for_share_lift(design, 0.01, 0.01)
    priced, free = ran.json
    assert priced["epsilon"] == 1.0
    assert priced["lift"] == pytest.approx(found.lift)
    assert priced["in_segment"] == pytest.approx(found.in_segment)
    assert priced["threshold"] == found.threshold
    assert needed is not None
    assert priced["needed"] == {"treated": needed.treated, "control": needed.control}
    assert free["epsilon"] is None
    assert free["noise_part"] == 0.0


def test_a_value_needs_its_spread(hanse: Hanse) -> None:
    ran = hanse(*ARMS, "--mean", "3", "--sd", "9", "--segments", "2")
    assert ran.status == 0, ran.err
    assert "3 per person, sd 9" in ran.out
    assert "in one segment" in ran.out
    refused(hanse(*ARMS, "--mean", "3"), "usage", "--mean and --sd", status=2)
    refused(hanse(*ARMS), "usage", "--share", status=2)
    refused(hanse(*ARMS, "--share", "0.1", "--mean", "3", "--sd", "1"), "usage", status=2)


def test_what_cannot_be_reckoned_is_refused(hanse: Hanse) -> None:
    refused(hanse(*ARMS, "--share", "1.5"), "power.design", "share")
    refused(hanse(*ARMS, "--share", "0.1", "--k", "5"), "gate.k", "below 20")
    refused(hanse(*ARMS, "--share", "0.1", "--epsilon", "50"), "gate.epsilon")


def test_beyond_reach_is_said(hanse: Hanse) -> None:
    ran = hanse("power", "--treated", "100", "--control", "100", "--share", "0.5", "--epsilon", "0.05",
                "--lift", "0.6")  # fmt: skip
    assert ran.status == 0, ran.err
    assert ran.out.count("beyond reach") >= 2
