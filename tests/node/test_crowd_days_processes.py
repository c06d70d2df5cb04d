"""Training and telling a crowd between three node processes, asked for by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crowd_federation import CrowdFederation

from hanse.cli.main import _status
from hanse.places.city import Wish

pytestmark = pytest.mark.slow
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("processes"), Wish(places=60, people=0, days=300, seed=3)
    )
    made.contract()
    try:
        made.processes()
        yield made
    finally:
        made.end()


@pytest.fixture
def run(nodes: CrowdFederation, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``hanse crowd-days`` at an organisation: what it prints as JSON or as text, or its error's text."""

    def command(name: str, *words: str, fails: bool = False, as_json: bool = True) -> Any:
        more = ["--json"] if as_json and not fails else []
        status = _status(["crowd-days", *words, "--node", str(nodes[name].folder), *more])
        said = capsys.readouterr()
        assert (status != 0) == fails, said.err
        return said.err if fails else json.loads(said.out) if as_json else said.out

    return command


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
