"""One training and its scores between three node processes, asked for by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from model_federation import PEOPLE, ModelFederation, person
from node_commands import Run, commands

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFederation]:
    made = ModelFederation.found(tmp_path_factory.mktemp("processes"))
    made.contract()
    try:
        made.processes()
        yield made
    finally:
        made.end()


@pytest.fixture
def run(nodes: ModelFederation, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``hanse model`` at an organisation: what it prints as JSON, or its error's text."""

    return commands(nodes, "model", capsys)


def test_from_training_to_deletion(nodes: ModelFederation, run: Run, tmp_path: Path) -> None:
    answer = run("shop", "train", "churn", "--set", "l2=0.0001")
    training = answer["job"]
    assert answer["result"]["card"]["settings"]["l2"] == 0.0001
    assert 0.75 < answer["result"]["card"]["metrics"]["auc"] < 0.9

    mine, theirs = run("shop", "show", "churn"), run("media", "show", training[:12])
    assert mine["block"]["columns"] == ["spend", "member"]
    assert theirs["block"]["columns"] == ["minutes", "city=south", "city=west", "visits"]
    assert run("neutral", "list") == []
    assert run("shop", "list", "--allowed")[0]["trainings"] == 1
    assert run("media", "card", "churn")["metrics"] == {}
    assert "media holds the coefficients of its own columns" in run(
        "shop", "card", "churn", as_json=False
    )

    out = tmp_path / "scores.parquet"
    scored = run("shop", "score", "churn", "--out", str(out))
    table = pq.read_table(out)
    assert table.num_rows == PEOPLE
    assert table["score"].null_count == 300
    assert not list((nodes["shop"].data / "scores").iterdir()), "scores are handed out once"
    assert scored["result"]["scored"] == PEOPLE - 300
    wanted = dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))[
        person(600)
    ]
    one = run("shop", "score-one", "churn", person(600))
    assert abs(one["result"]["score"] - wanted) < 1e-5

    part = tmp_path / "part.json"
    run("media", "export", "churn", str(part), as_json=False)
    assert json.loads(part.read_text())["block"] == theirs["block"]
    run("media", "delete", "churn", "--reason", "the campaign is over", as_json=False)
    assert "[model.missing]" in run("shop", "score", "churn", "--out", str(out), fails=True)
    assert "media has deleted" in run(
        "shop", "score-one", "churn", person(600), fails=True
    ).replace("\n", " ")
    assert "[model.missing]" in run("media", "show", training[:12], fails=True)

    for name, member in nodes.members.items():
        with member.office() as office:
            entries = list(office.ledger.entries())
            assert office.ledger.verify(member.identity.card.signing_key).ok, name
            assert any(e.kind == "disclosure" for e in entries)


def test_wrong_words(run: Run) -> None:
    assert "[model.unknown]" in run("shop", "train", "nothing", fails=True)
    assert "[question.malformed]" in run("shop", "train", "churn", "--set", "l3=1", fails=True)
    assert "KEY=VALUE" in run("shop", "train", "churn", "--set", "l2", fails=True)
    assert "[model.unknown]" in run("neutral", "show", "churn", fails=True)
