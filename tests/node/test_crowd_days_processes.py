"""Training and telling a crowd between three node processes, asked for by the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crowd_federation import CrowdFederation, clause
from node_commands import Run, commands

from hanse.places.city import Wish

pytestmark = pytest.mark.slow
TABLE = {
    "dataset": "app",
    "place": "place",
    "date": "day",
    "reported": "told",
    "values": ["people"],
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("processes"), Wish(places=60, people=0, days=300, seed=3)
    )
    made.contract(crowds=[clause(tables=[TABLE])])
    try:
        made.processes()
        yield made
    finally:
        made.end()


@pytest.fixture
def run(nodes: CrowdFederation, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``hanse crowd-days`` at an organisation: what it prints as JSON or as text, or its error's text."""

    return commands(nodes, "crowd-days", capsys)


def test_from_training_to_the_scoreboard(nodes: CrowdFederation, run: Run, tmp_path: Path) -> None:
    first, second, third = (nodes.day(n).isoformat() for n in (8, 7, 6))
    trained = run("counters", "train", "shops", "--ends", first)
    assert trained["result"]["adopted"]
    told = run("counters", "day", "shops", "--ends", first)["result"]
    assert told["published"] > 100
    text = run("maps", "day", "shops", "--ends", second, as_json=False)
    assert "numbers" in text
    assert "withheld" in text
    run("counters", "day", "shops", "--ends", third, "--without", "operator")
    rows = run("maps", "show", "shops", "--on", second)
    assert len(rows) == 60
    assert {row["version"] for row in rows} & {2, 3}
    uncounted = set(nodes.made.places.ids[-5:])
    assert {row["regime"] for row in rows if row["place"] in uncounted} == {"never measured"}
    assert {row["regime"] for row in rows if row["place"] not in uncounted} >= {"history"}
    assert "never measured" in run("maps", "show", "shops", "--on", second, as_json=False)
    assert run("counters", "list")[0]["told"] == third
    assert run("maps", "list")[0]["holders"] == ["maps", "operator"]
    picture = tmp_path / "scores.svg"
    board = run(
        "counters", "scoreboard", "shops", "--ends", nodes.day(0).isoformat(), "--picture", str(picture)
    )  # fmt: skip
    assert board["scores"][0]["p30_published"] > 0.8
    assert picture.read_text().lstrip().startswith("<svg")
    assert "[crowd.owner]" in run("maps", "scoreboard", "shops", fails=True)
    assert "[crowd.order]" in run("maps", "day", "shops", "--ends", first, fails=True)
    assert "[crowd.without]" in run("maps", "day", "shops", "--without", "counters", fails=True)
    for name, member in nodes.members.items():
        with member.office() as office:
            assert office.ledger.verify(member.identity.card.signing_key).ok, name
            assert sum(e.kind == "disclosure" for e in office.ledger.entries()) == 4


def test_wrong_words(run: Run) -> None:
    assert "[crowd.unknown]" in run("counters", "train", "towns", fails=True)
    assert "[question.malformed]" in run("counters", "day", "shops", "--ends", "today", fails=True)
