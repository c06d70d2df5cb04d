"""Lists of places in a contract: named by digest, referred to by columns, and held or refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from contract_samples import CONTRACT, contract_fields

from hanse.catalog.gazetteers import from_table
from hanse.contracts import Contract, Library, describe
from hanse.errors import Refusal

PLACES = from_table(
    pa.table({"id": ["a", "b"], "name": ["A", "B"], "type": ["mall", "shop"], "lat": [1.0, 2.0],
              "lon": [3.0, 4.0]})
)  # fmt: skip


def with_places(**changed: Any) -> dict[str, Any]:
    """The sample contract with a list, and a place column in its first dataset."""
    found = contract_fields()
    found["gazetteers"] = [
        {"name": "towns", "places": 2, "digest": PLACES.digest, "excluded": ["bar"], **changed}
    ]
    column = {"name": "home", "kind": "place", "uses": ["place"], "gazetteer": "towns"}
    found["datasets"][0].setdefault("columns", []).append(column)
    return found


def test_a_contract_without_lists_keeps_its_hash() -> None:
    assert "gazetteers" not in CONTRACT.fields()
    assert "gazetteer" not in str(CONTRACT.to_toml())


def test_a_list_is_read_written_signed_and_described() -> None:
    agreed = Contract.from_fields(with_places())
    assert Contract.from_toml(agreed.to_toml()) == agreed
    assert Contract.from_json(agreed.canonical()) == agreed
    other = Contract.from_fields(with_places(digest="0" * 64))
    assert other.hash != agreed.hash != CONTRACT.hash
    text = describe(agreed)
    assert PLACES.digest in text
    assert "bar" in text
    assert "home (place) may be used to count people by place; places of the list 'towns'" in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f["datasets"][0]["columns"][-1].pop("gazetteer"), "gazetteer: is missing"),
        (lambda f: f["datasets"][0]["columns"][-1].update(gazetteer="villages"), "'villages'"),
        (lambda f: f["datasets"][0]["columns"][-1].update(uses=["filter"]), "cannot filter"),
        (lambda f: f["datasets"][0]["columns"][-1].update(values=["a"]), "does not belong"),
        (
            lambda f: f["datasets"][0]["columns"][-1].update(kind="time", uses=["order"]),
            "does not belong to a column of kind time",
        ),
        (lambda f: f["gazetteers"].append(f["gazetteers"][0]), "'towns' is named twice"),
        (lambda f: f["gazetteers"][0].update(places=0), "places"),
        (lambda f: f["gazetteers"][0].update(digest="abc"), "digest"),
        (lambda f: f["gazetteers"][0].update(excluded=["bar", "bar"]), "'bar' is named twice"),
    ],
)
def test_what_does_not_fit_is_named(change: Any, told: str) -> None:
    found = with_places()
    change(found)
    with pytest.raises(Refusal) as caught:
        Contract.from_fields(found)
    assert told in caught.value.message


def test_a_library_gives_what_the_contract_means_or_says_what_is_missing() -> None:
    agreed = Contract.from_fields(with_places())
    assert Library.of(PLACES).gazetteer(agreed, "towns") is PLACES
    with pytest.raises(Refusal) as caught:
        Library().gazetteer(agreed, "towns")
    assert caught.value.code == "gazetteer.missing"
    assert PLACES.digest in caught.value.message
    assert "hanse places add" in caught.value.remedy
    with pytest.raises(Refusal) as caught:
        Library.of(PLACES).gazetteer(agreed, "villages")
    assert caught.value.code == "contract.gazetteer"
    assert "towns" in caught.value.remedy
    lying = Library(lambda _: PLACES)
    with pytest.raises(Refusal, match="not held"):
        lying.gazetteer(Contract.from_fields(with_places(digest="0" * 64)), "towns")
