"""The shelf of a party's models: signed parts, versions, expiry, deletion, hand-out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.clock import ManualClock
from hanse.contracts import ModelNote
from hanse.errors import HanseError
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.terms import Side, Term
from hanse.ledger import Ledger, MemoryStore
from hanse.node.models.parts import MemoryModels, Models, ModelShelf, SqlModels, check_signed
from hanse.node.storage.database import open_sqlite

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BLOCK = {"form": "linear", "coefficients": [[1.5, -0.25]]}


@pytest.fixture(params=["memory", "sqlite"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Models:
    return MemoryModels() if request.param == "memory" else SqlModels(open_sqlite(tmp_path))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def shelf(models: Models, clock: ManualClock) -> ModelShelf:
    key = Ed25519PrivateKey.generate()
    return ModelShelf("shop", models, Ledger(MemoryStore(), key, clock), key, clock)


def note(number: int, name: str = "churn", days: int = 10) -> ModelNote:
    return ModelNote(
        name, f"{number:064x}", "spring", "cd" * 32, NOW, NOW + timedelta(days=days), "held"
    )


def test_parts_are_signed_and_versions_count_up(shelf: ModelShelf) -> None:
    first = shelf.keep(note(1), BLOCK, {"kind": "logistic"})
    second = shelf.keep(note(2), BLOCK, {"kind": "logistic"})
    other = shelf.keep(note(3, "other"), BLOCK, {"kind": "linear"})
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert shelf.find("churn").job == second.job
    assert shelf.find(first.job[:64]).version == 1
    document = shelf.document(first.job)
    assert document["block"] == BLOCK
    assert shelf.note(first.job) == note(1)


def test_a_part_that_was_changed_is_not_used(shelf: ModelShelf, models: Models) -> None:
    stored = shelf.keep(note(1), BLOCK, {"kind": "logistic"})
    document = dict(shelf.document(stored.job))
    document["block"] = {"form": "linear", "coefficients": [[9.0, 9.0]]}
    models.end(stored.job, "deleted")
    models.put("ff" * 32, "churn", stored.note, document | {"job": "ff" * 32})
    with pytest.raises(HanseError) as raised:
        shelf.document("ff" * 32)
    assert raised.value.code == "model.damaged"
    with pytest.raises(HanseError):
        check_signed(document, Ed25519PrivateKey.generate().public_key())


def test_a_part_ends_when_its_time_is_over(shelf: ModelShelf, clock: ManualClock) -> None:
    stored = shelf.keep(note(1), BLOCK, {"kind": "logistic"})
    clock.advance(timedelta(days=9, hours=23))
    assert shelf.document(stored.job)
    clock.advance(timedelta(hours=1))
    with pytest.raises(HanseError) as raised:
        shelf.document(stored.job)
    assert raised.value.code == "model.missing"
    assert shelf.all()[0].state == "expired"
    assert shelf.all()[0].document is None
    again = shelf.note(stored.job)
    assert again is not None
    assert again.expires <= clock.now()


def test_deletion_leaves_a_note_and_an_entry(shelf: ModelShelf) -> None:
    stored = shelf.keep(note(1), BLOCK, {"kind": "logistic"})
    shelf.delete("churn", "not needed")
    assert [(m.state, m.document) for m in shelf.all()] == [("deleted", None)]
    with pytest.raises(HanseError) as raised:
        shelf.delete("churn", "again")
    assert raised.value.code == "model.missing"
    found = shelf.note(stored.job)
    assert found is not None
    assert found.state == "deleted"


def test_exports_are_noted(shelf: ModelShelf) -> None:
    shelf.keep(note(1), BLOCK, {"kind": "logistic"})
    document = shelf.exported("churn")
    assert document["block"] == BLOCK
    assert document["signature"]
    with pytest.raises(HanseError) as raised:
        shelf.exported("nothing")
    assert "there are: churn" in raised.value.remedy


def test_a_category_is_columns_of_its_values_but_the_first() -> None:
    side = Side("shop", "d", (Term("x", "number"), Term("c", "category", ("a", "b", "d"))), 10)
    import numpy as np

    values = np.array([[0.5, 1], [1.5, 2], [2.5, 3], [3.5, np.nan]])
    assert side.names == ("x", "c=b", "c=d")
    assert side.encoded(values).tolist() == [[0.5, 0, 0], [1.5, 1, 0], [2.5, 0, 1], [3.5, 0, 0]]
    block = LinearBlock("shop", side.terms, ((2.0, 1.0, -1.0),), (10.0,))
    assert block.partial(values)[:, 0].tolist() == [11.0, 14.0, 14.0, 17.0]
    assert LinearBlock.of(block.body()) == block
