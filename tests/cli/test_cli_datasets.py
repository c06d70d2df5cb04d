"""``hanse dataset``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, refused

TOML = """
name = "baskets"
source = { path = "baskets.csv" }
ids = [{ column = "phone", type = "phone", region = "CN" }]
columns = [
  { name = "at", column = "paid", kind = "time" },
  { name = "amount", column = "yuan", kind = "amount", scale = 100 },
]
classification = "personal"
description = "Baskets"
legal_basis = "consent"
evidence = "the consent register"
"""
CSV = "phone,paid,yuan\n13812345678,2026-03-01 10:00:00,12.50\n13812345679,2026-03-02,7\nwrong,2026-03-03,1\n"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    (tmp_path / "baskets.csv").write_text(CSV)
    file = tmp_path / "baskets.toml"
    file.write_text(TOML)
    return file


def test_a_registered_dataset_is_profiled_and_the_profile_stays_at_home(
    hanse: Hanse,
    make_node: MakeNode,
    described: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    node = make_node("retail-chain")
    monkeypatch.chdir(node)  # paths in the description are relative to the description
    added = hanse("dataset", "add", described, "--node", node)
    assert added.status == 0, added.err
    assert "3 rows" in added.out
    assert "stays at home" in added.err
    assert "13812345678" not in added.out + added.err
    shown = hanse("dataset", "show", "baskets", "--node", node, "--json").json
    assert shown["dataset"]["source"]["path"] == str(tmp_path / "baskets.csv")
    assert shown["profile"]["ids"]["phone"]["distinct"] == 2
    assert shown["profile"]["columns"]["amount"]["maximum"] == 1250
    (listed,) = hanse("dataset", "list", "--json", "--node", node).json
    assert (listed["name"], listed["rows"], listed["columns"]) == ("baskets", 3, ["at", "amount"])
    assert "baskets" in hanse("dataset", "list", "--node", node).out
    assert "2026-03-01" in hanse("dataset", "show", "baskets", "--node", node).out


def test_check_reads_the_data_again(hanse: Hanse, make_node: MakeNode, described: Path) -> None:
    node = make_node("retail-chain")
    hanse("dataset", "add", described, "--node", node)
    good = hanse("dataset", "check", "--node", node)
    assert (good.status, good.out) == (0, "baskets: good, 3 rows\n")
    (described.parent / "baskets.csv").unlink()
    refused(hanse("dataset", "check", "--node", node), "catalog.missing-file", "baskets")
    bad = hanse("dataset", "check", "baskets", "--json", "--node", node)
    assert bad.status == 1
    assert bad.json[0]["problems"][0]["code"] == "catalog.missing-file"
    refused(hanse("dataset", "check", "visits", "--node", node), "dataset.unregistered", "baskets")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("yuan", "euro"), "catalog.missing-column", "euro"),
        (('kind = "time"', 'kind = "tyme"'), "catalog.dataset", "columns[at].kind"),
        (("evidence", "evidense"), "catalog.dataset", "evidense"),
        (("baskets.csv", "other.csv"), "catalog.missing-file", "other.csv"),
        (("[{ column", "[{ column ="), "file.syntax", "line 4"),
    ],
)
def test_bad_descriptions_name_what_is_wrong(
    hanse: Hanse,
    make_node: MakeNode,
    described: Path,
    change: tuple[str, str],
    code: str,
    said: str,
) -> None:
    node = make_node("retail-chain")
    described.write_text(TOML.replace(*change))
    refused(hanse("dataset", "add", described, "--node", node), code, said)
    assert hanse("dataset", "list", "--json", "--node", node).json == []


def test_an_unknown_dataset_is_named(hanse: Hanse, make_node: MakeNode) -> None:
    refused(
        hanse("dataset", "show", "baskets", "--node", make_node("retail-chain")),
        "dataset.unregistered",
    )
