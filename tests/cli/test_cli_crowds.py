"""``hanse crowd``: made, listed, shown, renewed and removed; never a member, never an exact size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, Ran, refused

from hanse.clock import ManualClock
from hanse.contracts import Contract
from hanse.errors import Fault, Refusal
from hanse.node.faces import facade
from hanse.node.office import NodeOffice
from hanse.rehearsal import Federation

TOML = """
name = "baskets"
source = { path = "baskets.csv" }
ids = [{ column = "phone", type = "phone", region = "CN" }]
columns = [
  { name = "at", column = "paid", kind = "time" },
  { name = "amount", column = "yuan", kind = "amount", scale = 100 },
  { name = "city", column = "city", kind = "category" },
  { name = "member", column = "member", kind = "boolean" },
]
classification = "personal"
description = "Baskets"
legal_basis = "consent"
evidence = "the consent register"
withdrawals = [{ path = "gone.csv", type = "phone", region = "CN" }]
"""
PHONES = [f"1381234{n:04}" for n in range(237)]
LATER = "2030-01-01"
COMMON = ["--purpose", "bring them back", "--evidence", "the register", "--expires", LATER]


@pytest.fixture
def node(hanse: Hanse, make_node: MakeNode, tmp_path: Path) -> Path:
    """The retail chain's node with one dataset: 237 people."""
    lines = [
        f"{p},2026-03-{1 + n % 28:02} 10:00:00,{n},{'Visby' if n % 2 else 'Bergen'},{'yes' if n < 200 else 'no'}"
        for n, p in enumerate(PHONES)
    ]
    (tmp_path / "baskets.csv").write_text("\n".join(["phone,paid,yuan,city,member", *lines]))
    (tmp_path / "gone.csv").write_text("")
    (tmp_path / "baskets.toml").write_text(TOML)
    folder = make_node("retail-chain")
    assert hanse("dataset", "add", tmp_path / "baskets.toml", "--node", folder).status == 0
    return folder


@pytest.fixture
def office(node: Path) -> Iterator[NodeOffice]:
    with facade.office_of(node) as opened:
        yield opened


def create(hanse: Hanse, node: Path, name: str, *words: object) -> Ran:
    return hanse("crowd", "create", name, *COMMON, *words, "--node", node)


def silent(*ran: Ran) -> None:
    """Nothing that was printed names a member or the exact size."""
    text = "".join(r.out + r.err for r in ran)
    assert not any(phone in text for phone in PHONES)
    assert not any(size in text for size in ("237", "118", "119", "187"))


def test_a_package_is_made_listed_and_shown(hanse: Hanse, node: Path) -> None:
    made = create(hanse, node, "rich", "--of", "baskets", "--where", "amount>=5000",
                  "--where", "city=Visby,Bergen", "--where", "member=yes")  # fmt: skip
    assert made.status == 0, made.err
    assert "Made rich, version 1: in 'baskets' where amount is at least 5000" in made.out
    assert "100 to 200 people" in made.out
    listed = hanse("crowd", "list", "--node", node)
    (entry,) = hanse("crowd", "list", "--json", "--node", node).json
    assert (entry["name"], entry["version"], entry["state"]) == ("rich", 1, "in use")
    assert entry["made_of"] == "dataset baskets"
    assert len(entry["digest"]) == 64
    shown = hanse("crowd", "show", "rich", "--node", node)
    assert "bring them back" in shown.out
    assert "the register" in shown.out
    assert "100 to 200, now" in shown.out
    silent(made, listed, shown)


def test_the_same_name_makes_the_next_version_and_the_old_one_stays_listed(
    hanse: Hanse, node: Path
) -> None:
    create(hanse, node, "locals", "--of", "baskets", "--where", "city=Visby")
    second = create(hanse, node, "locals", "--of", "baskets", "--where", "city=Bergen", "--json")
    assert second.json["version"] == 2
    found = hanse("crowd", "list", "--json", "--node", node).json
    assert [(f["version"], f["state"]) for f in found] == [(2, "in use"), (1, "replaced")]
    assert (
        "Version 1 (replaced): in 'baskets' where city is Visby"
        in hanse("crowd", "show", "locals", "--node", node).out
    )


def test_a_file_of_ids_makes_a_package_without_those_who_withdrew(
    hanse: Hanse, node: Path, tmp_path: Path, office: NodeOffice
) -> None:
    club = tmp_path / "club.csv"
    club.write_text("mobile\n" + "\n".join(PHONES))
    words = ["--ids", club, "--id-column", "mobile", "--id-type", "phone", "--region", "CN"]
    made = create(hanse, node, "club", *words, "--withdrawals-of", "baskets")
    assert made.status == 0, made.err
    assert "200 to 500 people" in made.out
    (tmp_path / "gone.csv").write_text("\n".join(PHONES[:100]))
    shown = hanse("crowd", "show", "club", "--json", "--node", node)
    assert shown.json["roughly"] == "100 to 200"
    silent(made, shown)
    club.write_text("mobile\n" + "\n".join(PHONES[:50]))
    refused(hanse("crowd", "show", "club", "--node", node), "crowd.changed", "club")
    with pytest.raises(Refusal) as error:
        office.dataset("club")
    assert error.value.code == "crowd.changed"
    assert create(hanse, node, "club", *words, "--json").json["version"] == 2
    assert (
        hanse("crowd", "show", "club", "--json", "--node", node).json["roughly"] == "fewer than 100"
    )


def test_an_expired_package_refuses_until_it_is_renewed(hanse: Hanse, node: Path) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    create(hanse, node, "rich", "--of", "baskets", "--expires", tomorrow)
    later = ManualClock(datetime.combine(tomorrow, datetime.min.time(), UTC))
    with facade.office_of(node, later) as office:
        with pytest.raises(Refusal) as error:
            office.dataset("rich")
        assert error.value.code == "crowd.expired"
        assert "'rich'" in error.value.message
        assert "hanse crowd renew rich" in error.value.remedy
    assert hanse("crowd", "renew", "rich", "--expires", LATER, "--node", node).status == 0
    with facade.office_of(node, later) as office:
        assert office.dataset("rich").name == "rich"
        assert office.crowds.newest("rich").expires == date(2030, 1, 1)
        assert office.crowds.newest("rich").version == 1
    refused(
        hanse("crowd", "renew", "rich", "--expires", "2020-01-01", "--node", node), "crowd.expires"
    )
    assert hanse("crowd", "renew", "rich", "--expires", "soon", "--node", node).status == 2


def test_a_removed_package_serves_no_more_and_its_numbers_do_not_come_back(
    hanse: Hanse, node: Path, office: NodeOffice
) -> None:
    create(hanse, node, "rich", "--of", "baskets")
    assert hanse("crowd", "remove", "rich", "--node", node).out == "Removed rich.\n"
    with pytest.raises(Fault) as error:
        office.dataset("rich")
    assert error.value.code == "dataset.unregistered"
    refused(hanse("crowd", "remove", "rich", "--node", node), "crowd.unknown", "there are: none")
    refused(hanse("crowd", "show", "poor", "--node", node), "crowd.unknown")
    assert create(hanse, node, "rich", "--of", "baskets", "--json").json["version"] == 2
    states = [f["state"] for f in hanse("crowd", "list", "--json", "--node", node).json]
    assert states == ["in use", "removed"]
    assert "crowd" in {e.kind for e in office.ledger.entries()}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--of", "visits"], "dataset.unregistered", "baskets"),
        (["--of", "baskets", "--where", "city"], "crowd.condition", "column=value"),
        (["--of", "baskets", "--where", "amount>=much"], "crowd.condition", "whole number"),
        (["--of", "baskets", "--where", "member=perhaps"], "crowd.condition", "yes or no"),
        (["--of", "baskets", "--where", "at>=2026-01-01"], "crowd.condition", "--starts"),
        (["--of", "baskets", "--where", "age=5"], "catalog.unknown-column", "amount"),
        (["--of", "baskets", "--where", "city=Lund"], "crowd.empty", "dataset show baskets"),
        (["--of", "baskets", "--starts", "2026-01-01"], "crowd.malformed", "both starts and ends"),
        (["--of", "baskets", "--at-least", "33"], "crowd.malformed", "events.at_least"),
        (["--ids", "none.csv", "--id-type", "phone"], "catalog.missing-file", "none.csv"),
    ],
)
def test_bad_definitions_are_refused_and_nothing_is_kept(
    hanse: Hanse, node: Path, words: list[str], code: str, told: str
) -> None:
    refused(create(hanse, node, "rich", *words), code, told)
    assert hanse("crowd", "list", "--json", "--node", node).json == []


def test_datasets_and_packages_share_their_names(hanse: Hanse, node: Path, tmp_path: Path) -> None:
    refused(create(hanse, node, "baskets", "--of", "baskets"), "crowd.name")
    create(hanse, node, "rich", "--of", "baskets")
    (tmp_path / "rich.toml").write_text(TOML.replace('"baskets"', '"rich"'))
    refused(hanse("dataset", "add", tmp_path / "rich.toml", "--node", node), "dataset.name", "rich")
    assert create(hanse, node, "rich").status == 2


def test_a_drafted_contract_names_the_package_as_a_dataset_without_columns(
    hanse: Hanse, node: Path
) -> None:
    create(hanse, node, "rich", "--of", "baskets")
    text = hanse("contract", "draft", "--template", "overlap", "--node", node).out
    clause = text[text.index('name = "rich"') :]
    assert clause.startswith('name = "rich"\nprovider = "retail-chain"\ncapacity')
    assert 'evidence = "the register"' in clause
    assert "[[datasets.columns]]" not in clause
    assert 'datasets = ["baskets", "rich"]' in clause


def test_the_commitment_covers_definition_version_and_data(
    hanse: Hanse, node: Path, office: NodeOffice, tmp_path: Path
) -> None:
    """A recorded answer is given only while all of these are what they were."""

    def commitment() -> str:
        fed = Federation(id_type="phone", k=20, seed=1)
        fed.crowd("rich", "retail-chain", ids={"id": PHONES})
        clause = fed.contract.dataset("rich")
        assert isinstance(fed.contract, Contract)
        assert clause is not None
        return office.datasets.prepare(clause, fed.bundle)

    create(hanse, node, "rich", "--of", "baskets", "--where", "amount>=5000")
    first = commitment()
    assert len(first) == 64
    assert hanse("crowd", "renew", "rich", "--expires", "2031-01-01", "--node", node).status == 0
    assert commitment() == first  # the same people: an answer on record still answers
    create(hanse, node, "rich", "--of", "baskets", "--where", "amount>=5000")
    second = commitment()
    create(hanse, node, "rich", "--of", "baskets", "--where", "amount>=6000")
    third = commitment()
    (tmp_path / "gone.csv").write_text(PHONES[5])
    fourth = commitment()
    with (tmp_path / "baskets.csv").open("a") as file:
        file.write("\n13812349999,2026-03-01,500,Visby,yes")
    assert len({first, second, third, fourth, commitment()}) == 5
