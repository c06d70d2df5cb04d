"""``hanse contract``, between the folders of three organisations whose nodes do not run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, Ran, refused

from hanse.contracts import Contract
from hanse.node.faces import facade

PARTIES = ("media-house", "retail-chain", "data-house")


@pytest.fixture
def nodes(hanse: Hanse, make_node: MakeNode, tmp_path: Path) -> dict[str, Path]:
    """Three nodes that know each other; the first has a dataset."""
    made = {party: make_node(party) for party in PARTIES}
    for party, folder in made.items():
        for other, card in made.items():
            if other != party:
                assert hanse("partner", "add", card / "identity.json", "--node", folder).status == 0
    (tmp_path / "seen.csv").write_text("id,at\na,2026-01-01\nb,2026-01-02\n")
    (tmp_path / "seen.toml").write_text(
        'name = "seen"\nsource = { path = "seen.csv" }\nids = [{ column = "id", type = "member" }]\n'
        'columns = [{ name = "at", column = "at", kind = "time" }]\nclassification = "personal"\n'
        'description = "x"\nlegal_basis = "consent"\nevidence = "x"\n'
    )
    assert (
        hanse("dataset", "add", tmp_path / "seen.toml", "--node", made["media-house"]).status == 0
    )
    return made


@pytest.fixture
def drafted(hanse: Hanse, nodes: dict[str, Path], tmp_path: Path) -> Path:
    """The template, as it is, drafted at the first node; its file."""
    file = tmp_path / "contract.toml"
    media = nodes["media-house"]
    written = hanse("contract", "draft", file, "--template", "funnel", "--node", media)
    assert written.status == 0, written.err
    ran = hanse("contract", "draft", file, "--node", media)
    assert ran.status == 0, ran.err
    return file


def test_the_template_is_a_contract_that_names_keys_of_known_cards(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path
) -> None:
    assert "signing_key" not in drafted.read_text()
    bundle = hanse(
        "contract", "show", "my-first-funnel", "--json", "--node", nodes["media-house"]
    ).json
    for party in bundle["contract"]["parties"]:
        card = json.loads((nodes[party["name"]] / "identity.json").read_text())
        assert (party["signing_key"], party["certificate"]) == (
            card["signing_key"],
            card["fingerprint"],
        )
    assert bundle["state"] == "pending"
    assert bundle["missing"] == list(bundle_parties(bundle))


def bundle_parties(bundle: dict[str, object]) -> list[str]:
    contract = bundle["contract"]
    assert isinstance(contract, dict)
    return [p["name"] for p in contract["parties"]]


def test_signatures_travel_in_files_until_the_contract_is_live_everywhere(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path, tmp_path: Path
) -> None:
    name = "my-first-funnel"
    previous: Path | None = None
    for number, folder in enumerate(nodes.values()):
        if previous is not None:
            assert hanse("contract", "import", previous, "--node", folder).status == 0
        signed = hanse("contract", "sign", name, "--node", folder)
        assert signed.status == 0, signed.err
        previous = tmp_path / f"bundle-{number}.json"
        assert hanse("contract", "export", name, previous, "--node", folder).status == 0
    for folder in nodes.values():
        imported = hanse("contract", "import", previous, "--node", folder)
        assert "State: live" in imported.out
        (row,) = hanse("contract", "list", "--json", "--node", folder).json
        assert (row["state"], row["signed"]) == ("live", sorted(PARTIES))
    assert "3 of 3" in hanse("contract", "list", "--node", nodes["data-house"]).out


def test_show_in_plain_language_and_as_the_document(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path
) -> None:
    show = ["contract", "show", "my-first-funnel", "--node", nodes["media-house"]]
    text = hanse(*show).out
    assert "Who learns what" in text
    assert "Whom you trust" in text
    assert "missing: media-house" in text
    assert text == hanse(*show, "--text").out
    toml = hanse(*show, "--toml").out
    assert Contract.from_toml(toml).hash == hanse(*show, "--json").json["hash"]
    refused(hanse(*show, "--toml", "--json"), "usage", status=2)


def test_suspend_resume_and_end_are_written_down_with_their_reason(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path
) -> None:
    media = nodes["media-house"]

    def move(verb: str, *words: str) -> Ran:
        return hanse("contract", verb, "my-first-funnel", *words, "--node", media)

    refused(move("resume", "--reason", "x"), "contract.state", "pending")
    refused(move("suspend"), "usage", "--reason", status=2)
    refused(move("suspend", "--reason", " "), "usage", "--reason", status=2)
    assert "suspended now" in move("suspend", "--reason", "an audit").out
    assert "pending now" in move("resume", "--reason", "done").out
    assert "ended now" in move("end", "--reason", "over").out
    refused(move("resume", "--reason", "x"), "contract.state", "ended")
    entries = hanse("ledger", "list", "--kind", "contract", "--json", "--node", media).json
    assert [e["body"].get("reason") for e in entries][-3:] == ["an audit", "done", "over"]


def test_a_contract_that_is_over_says_so(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path
) -> None:
    media = nodes["media-house"]
    assert "allows nothing" not in hanse("contract", "sign", "my-first-funnel", "--node", media).out
    text = drafted.read_text()
    for key in ("starts", "expires"):
        year = "2020" if key == "starts" else "2021"
        text = re.sub(rf"(?m)^{key} = \d+", f"{key} = {year}", text)
    drafted.write_text(text.replace("my-first-funnel", "an-old-one"))
    ran = hanse("contract", "draft", drafted, "--node", media)
    assert ran.status == 0, ran.err
    assert "allows nothing any more" in ran.out + ran.err


def test_bad_drafts_are_refused_with_the_reason(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path, tmp_path: Path
) -> None:
    media = nodes["media-house"]
    text = drafted.read_text()
    file = tmp_path / "bad.toml"

    def draft(changed: str) -> Ran:
        file.write_text(changed)
        return hanse("contract", "draft", file, "--node", media)

    refused(draft("format = 1\nformat = 1\n"), "file.syntax", "line 2")
    refused(draft(text.replace("k = 100", "k = 5")), "contract.malformed", "privacy.k")
    refused(draft(text.replace("data-house", "some-house")), "contract.card", "some-house")
    changed = text.replace("maximum_jobs = 100", "maximum_jobs = 101")
    refused(draft(changed), "contract.hash", "different texts")
    refused(hanse("contract", "draft", "--node", media), "usage", status=2)
    refused(
        hanse("contract", "draft", "--template", "poem", "--node", media),
        "contract.template",
        "funnel",
    )
    refused(
        hanse("contract", "draft", drafted, "--template", "funnel", "--node", media), "file.exists"
    )
    assert (
        tomllib.loads(hanse("contract", "draft", "--template", "funnel", "--node", media).out)[
            "format"
        ]
        == 1
    )


def test_bad_bundles_are_refused(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path, tmp_path: Path
) -> None:
    media, data = nodes["media-house"], nodes["data-house"]
    hanse("contract", "sign", "my-first-funnel", "--node", media)
    good = tmp_path / "good.json"
    hanse("contract", "export", "my-first-funnel", good, "--node", media)
    bundle = json.loads(good.read_text())
    bad = tmp_path / "bad.json"
    bundle["signatures"]["media-house"] = "00" * 64
    bad.write_text(json.dumps(bundle))
    refused(hanse("contract", "import", bad, "--node", data), "contract.signature", "media-house")
    bundle["contract"]["maximum_jobs"] = 9999
    bad.write_text(json.dumps(bundle))
    refused(hanse("contract", "import", bad, "--node", data), "contract.hash")
    bad.write_bytes(b"\xff\xfe")
    refused(hanse("contract", "import", bad, "--node", data), "contract.malformed")
    refused(hanse("contract", "export", "my-first-funnel", good, "--node", media), "file.exists")
    refused(
        hanse("contract", "show", "other", "--node", media), "contract.unknown", "my-first-funnel"
    )
    refused(hanse("contract", "sign", "other", "--node", media), "contract.unknown")
    assert hanse("contract", "list", "--json", "--node", data).json == []


def test_the_campaign_template_is_a_contract_with_every_stage(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path, tmp_path: Path
) -> None:
    media = nodes["media-house"]
    file = tmp_path / "campaign.toml"
    hanse("contract", "draft", file, "--template", "campaign", "--node", media)
    text = file.read_text().replace("my-first-funnel", "my-first-campaign")
    file.write_text(text)
    assert "Drafted my-first-campaign" in hanse("contract", "draft", file, "--node", media).out
    fields = tomllib.loads(text)
    names = {d["name"] for d in fields["datasets"]}
    assert {
        "exposures-offline",
        "mall-visits",
        "store-visits",
        "scans",
        "payments",
        "topics",
    } <= names
    assert "journey" in {c["name"] for c in fields["computations"]}
    assert len({d["provider"] for d in fields["datasets"]}) >= 2


def test_a_version_that_nobody_has_signed_leaves_the_live_one_in_service(
    hanse: Hanse, nodes: dict[str, Path], drafted: Path, tmp_path: Path
) -> None:
    media, name, passed = nodes["media-house"], "my-first-funnel", tmp_path / "bundle.json"
    for folder in (*nodes.values(), media):  # the first takes in what the others signed
        if passed.exists():
            assert hanse("contract", "import", passed, "--node", folder).status == 0
            passed.unlink()
        assert hanse("contract", "sign", name, "--node", folder).status == 0
        assert hanse("contract", "export", name, passed, "--node", folder).status == 0
    drafted.write_text(drafted.read_text().replace("version = 1", "version = 2"))
    assert hanse("contract", "draft", drafted, "--node", media).status == 0
    with facade.office_of(media) as office:
        assert office.contract(name).version == 2
        serving = office.bundle(name)
    assert (serving.contract.version, serving.missing()) == (1, ())
    assert hanse("contract", "suspend", name, "--reason", "x", "--node", media).status == 0
    with facade.office_of(media) as office:
        assert office.bundle(name).contract.version == 2  # which is suspended: nothing is asked
