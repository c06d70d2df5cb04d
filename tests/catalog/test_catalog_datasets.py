"""What a dataset's description may say, and the cheap import of the room."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import hanse.catalog
from hanse.catalog import parse_dataset
from hanse.errors import Fault


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "visits",
        "source": {"path": "visits.parquet"},
        "ids": [{"column": "phone", "type": "phone", "region": "CN"}],
        "columns": [{"name": "seen", "column": "seen_at", "kind": "time"}],
        "classification": "personal",
        "description": "visits to shops",
        "legal_basis": "consent",
        "evidence": "register of consents",
    }
    return base | changes


def test_a_description_survives_its_own_json() -> None:
    dataset = parse_dataset(document())
    assert parse_dataset(dataset.model_dump(mode="json")) == dataset


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "Visits!"}, "name"),
        ({"ids": []}, "ids"),
        ({"ids": [{"column": "p", "type": "phone", "region": "china"}]}, "ids[1].region"),
        ({"ids": [{"column": "p", "type": "phone", "format": "sha1"}]}, "ids[1].format"),
        ({"columns": [{"name": "a", "column": "x", "kind": "float"}]}, "columns[a].kind"),
        (
            {"columns": [{"name": "a", "column": "x", "kind": "time", "zone": "Mars"}]},
            "columns[a].zone",
        ),
        ({"classification": "secret"}, "classification"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_dataset(document(**changes))
    assert caught.value.code == "catalog.dataset"
    assert f": {place}: " in caught.value.message
    assert caught.value.where == place


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"columns": [{"name": "a", "column": c, "kind": "category"} for c in "xy"]},
            "named twice",
        ),
        ({"withdrawals": [{"path": "w.csv", "type": "email"}]}, "without a column"),
        ({"legal_basis": "not-personal"}, "needs a legal basis"),
        ({"evidence": ""}, "evidence"),
        ({"source": {"dsn": "postgresql://u:secret@db/x", "table": "t"}}, "password"),
        ({"source": {"dsn": "host=db password=secret", "table": "t"}}, "password"),
        ({"derive": {"schedule": "plays.csv"}}, "departure or the dwell_seconds"),
        ({"derive": {"schedule": "plays.csv", "departure": "left"}}, "have only the columns"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_dataset(document(**changes))
    assert caught.value.code == "catalog.dataset"
    assert words in caught.value.message
    assert "secret" not in str(caught.value)


def test_an_unknown_column_lists_those_there_are() -> None:
    with pytest.raises(Fault) as caught:
        parse_dataset(document()).column("sean")
    assert caught.value.code == "catalog.unknown-column"
    assert "seen" in caught.value.remedy


def test_the_public_list_is_complete_and_lazy() -> None:
    for name in hanse.catalog.__all__:
        assert getattr(hanse.catalog, name).__module__.startswith("hanse.catalog.")
    with pytest.raises(AttributeError):
        _ = hanse.catalog.Colour
    heavy = "{'duckdb', 'numba', 'numpy', 'pyarrow', 'pydantic', 'phonenumbers'}"
    code = f"import sys, hanse.catalog; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
    code = "import sys; from hanse.catalog import Dataset; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
