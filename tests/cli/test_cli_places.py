"""``hanse places``."""

from __future__ import annotations

from pathlib import Path

from cli_stage import Hanse, MakeNode, refused

from hanse.catalog import read_gazetteer
from hanse.node.faces import facade

CSV = "id,name,type,lat,lon\nb,Big mall,mall,37.5,127.0\na,A shop,shop,37.6,127.1\n"


def test_a_list_is_kept_by_its_digest_and_found_again(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("map-provider")
    file = tmp_path / "places.csv"
    file.write_text(CSV)
    digest = read_gazetteer(file).digest
    added = hanse("places", "add", file, "--node", node)
    assert added.status == 0, added.err
    assert f'digest = "{digest}"' in added.out
    assert "places = 2" in added.out
    file.unlink()
    assert hanse("places", "list", "--json", "--node", node).json == [
        {"digest": digest, "places": 2}
    ]
    assert "A shop" in hanse("places", "list", "--node", node).out
    with facade.office_of(node) as office:
        found = office.library().find(digest)
        assert found is not None
        assert found.ids == ("a", "b")
        assert office.library().find("0" * 64) is None


def test_a_list_that_is_wrong_or_damaged_is_told(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("map-provider")
    file = tmp_path / "places.csv"
    refused(hanse("places", "add", file, "--node", node), "file.missing", "places.csv")
    file.write_text(CSV + "a,Again,shop,1,1\n")
    refused(hanse("places", "add", file, "--node", node), "gazetteer.duplicate", "'a'")
    assert hanse("places", "list", "--json", "--node", node).json == []
    file.write_text(CSV)
    digest = hanse("places", "add", file, "--node", node, "--json").json["digest"]
    file.write_text(CSV.replace("37.5", "37.4"))
    other = hanse("places", "add", file, "--node", node, "--json").json["digest"]
    (folder,) = {path.parent for path in node.rglob(f"{digest}.parquet")}
    (folder / f"{other}.parquet").replace(folder / f"{digest}.parquet")
    refused(hanse("places", "list", "--node", node), "gazetteer.damaged", digest[:12])
