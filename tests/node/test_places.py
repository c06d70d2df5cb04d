"""A node's lists of places: kept by digest, and what happens to a question about places that it does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet
import pytest

from hanse.catalog.gazetteers import from_table
from hanse.clock import ManualClock
from hanse.contracts import Library
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Refusal
from hanse.node.jobs.runner import Question, Runner
from hanse.node.places import PlaceShelf
from hanse.rehearsal import Column, Federation

PLACES = pa.table(
    {"id": ["m1", "s1"], "name": ["Mall", "Shop"], "type": ["mall", "shop"], "lat": [1.0, 2.0],
     "lon": [3.0, 4.0]}
)  # fmt: skip


def test_lists_are_kept_by_the_digest_of_their_content(tmp_path: Path) -> None:
    pa.parquet.write_table(PLACES, tmp_path / "mine.parquet")
    folder = tmp_path / "node" / "places"
    held = PlaceShelf(folder).add(tmp_path / "mine.parquet")
    assert (held.digest, held.places) == (from_table(PLACES).digest, 2)
    (tmp_path / "mine.parquet").unlink()
    shelf = PlaceShelf(folder)
    assert [h.digest for h in shelf.all()] == [held.digest]
    assert shelf.library().find(held.digest) == from_table(PLACES)
    assert shelf.library().find("0" * 64) is None
    assert {p.name for p in folder.iterdir()} == {f"{held.digest}.parquet"}


def test_a_list_with_another_content_than_its_name_is_not_used(tmp_path: Path) -> None:
    pa.parquet.write_table(PLACES, tmp_path / "mine.parquet")
    held = PlaceShelf(tmp_path).add(tmp_path / "mine.parquet")
    pa.parquet.write_table(PLACES.slice(1), tmp_path / f"{held.digest}.parquet")
    with pytest.raises(Fault) as caught:
        PlaceShelf(tmp_path).find(held.digest)
    assert caught.value.code == "gazetteer.damaged"


def test_a_question_about_places_that_are_not_held_is_refused(tmp_path: Path) -> None:
    """Everybody plans for himself, seats too: without the list a node refuses, and says which file it needs."""
    fed = Federation(k=20, seed=1)
    fed.places("towns", PLACES)
    rows: dict[str, list[Any]] = {"id": ["p1"], "at": ["2026-01-05"], "place": ["m1"]}
    for name, party in (("visits", "mall"), ("purchases", "shop")):
        columns: Any = {"place": Column("place", gazetteer="towns")} if name == "visits" else ()
        fed.dataset(name, party, rows, id="id", time=Column("at", "time"), columns=columns)
    shelf = PlaceShelf(tmp_path / "places")

    class Office:
        party = "mall"

        def bundle(self, _: str) -> Any:
            return fed.bundle

        def library(self) -> Library:
            return shelf.library()

    assert isinstance(fed.clock, ManualClock)
    runner = Runner(cast(Any, Office()), cast(Any, None), fed.clock, SeededEntropy("node"))
    parameters: dict[str, Any] = {
        "touches": [{"dataset": "visits", "credit": "place"}],
        "conversions": {"dataset": "purchases"}, "starts": "2026-01-01", "ends": "2026-02-01",
    }  # fmt: skip
    question = Question("rehearsal", "attribution", parameters, 1.0, ("mall",))
    with pytest.raises(Refusal) as caught:
        runner.draft(question, {})
    assert caught.value.code == "gazetteer.missing"
    assert from_table(PLACES).digest in caught.value.message
    assert "hanse places add" in caught.value.remedy
    pa.parquet.write_table(PLACES, tmp_path / "mine.parquet")
    shelf.add(tmp_path / "mine.parquet")
    _, plan = runner.draft(question, {})
    assert plan.channels == ("Mall (m1)", "Shop (s1)")
