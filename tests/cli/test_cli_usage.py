"""The command line as such: quick help, one clear error, exit statuses."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_stage import Hanse, MakeNode, refused
from rich.console import Console

from hanse import __version__
from hanse.cli.options import address
from hanse.cli.screen import plain, size, table

HEAVY = ("numba", "numpy", "duckdb", "pyarrow", "pandas", "sqlalchemy", "cryptography", "llvmlite")
COMMANDS = [
    "init", "run", "power", "demo", "node start", "node stop", "node status", "partner add", "partner list",
    "partner remove", "partner card", "dataset add", "dataset list", "dataset show", "dataset check",
    "contract draft", "contract import", "contract show", "contract sign", "contract push",
    "contract export", "contract suspend", "contract resume", "contract end", "contract list",
    "job list", "job show", "job log", "job cancel", "job rerun", "ledger verify", "ledger list",
    "ledger export", "ledger balance",
]  # fmt: skip


@pytest.mark.parametrize("words", ["--help", "run --help", "contract --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    program = (
        "import sys\n"
        "from hanse.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as left:\n    assert left.code == 0, left.code\n"
        f"print('heavy:', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, *words.split()], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.rstrip().endswith("heavy: []"), ran.stdout[-200:]


def test_module_and_entry_point_are_the_same_program() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "hanse.cli", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, f"hanse {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(hanse: Hanse, command: str) -> None:
    ran = hanse(*command.split(), "--help")
    assert ran.status == 0
    assert f"Usage: hanse {command}" in ran.out


def test_without_words_help_is_shown(hanse: Hanse) -> None:
    assert "Usage: hanse" in hanse().out


@pytest.mark.parametrize("group", ["node", "partner", "dataset", "contract", "job", "ledger"])
def test_a_group_without_a_command_shows_help_and_is_wrong_usage(hanse: Hanse, group: str) -> None:
    ran = hanse(group)
    assert ran.status == 2
    assert f"Usage: hanse {group}" in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nodes"], "nodes"),
        (["run"], "question"),
        (["job", "list", "--limit", "none"], "--limit"),
        (["ledger", "list", "--unknown"], "--unknown"),
        (["init", "somewhere", "--party", "media-house"], "--organisation"),
    ],
)
def test_wrong_usage_is_one_error_with_status_2(hanse: Hanse, words: list[str], said: str) -> None:
    ran = hanse(*words)
    refused(ran, "usage", said, "--help", status=2)
    assert ran.out == ""


def test_a_refusal_names_code_place_and_remedy_on_standard_error(
    hanse: Hanse, tmp_path: Path
) -> None:
    ran = hanse("job", "list", "--node", tmp_path)
    refused(ran, "config.missing", "at: ", str(tmp_path), "hanse init")
    assert ran.out == ""


def test_the_node_folder_comes_from_the_option_then_the_environment_then_here(
    hanse: Hanse, make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_node("one-party"), make_node("other-party")
    monkeypatch.chdir(one)
    assert hanse("partner", "card").json["party"] == "one-party"
    monkeypatch.setenv("HANSE_NODE", str(other))
    assert hanse("partner", "card").json["party"] == "other-party"
    assert hanse("partner", "card", "--node", one).json["party"] == "one-party"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("127.0.0.1:7470", ("127.0.0.1", 7470)), ("[::1]:80", ("::1", 80)), ("node.example:0", ("node.example", 0))],
)  # fmt: skip
def test_addresses(text: str, wanted: tuple[str, int]) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "host", ":7470", "host:", "host:many", "host:65536", "host:-1", "host:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="HOST:PORT"):
        address(text)


def test_outside_text_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\rc\x07d\u202ee\nf") == "a[2Jbcde\nf"


def test_sizes_are_for_people() -> None:
    assert [size(0), size(999), size(1500), size(2.5e9)] == ["0 B", "999 B", "1.5 kB", "2.5 GB"]


def test_a_page_of_a_computation_without_one_is_refused_before_anything_is_asked(
    hanse: Hanse, tmp_path: Path
) -> None:
    question = tmp_path / "question.toml"
    question.write_text('contract = "spring"\nepsilon = 1.0\n[parameters]\n', encoding="utf-8")
    # There is no node in this folder: whoever went on to ask would fail with config.missing.
    ran = hanse("overlap", question, "--page", tmp_path / "page.html", "--node", tmp_path)
    refused(ran, "result.form", "overlap", "page", "--picture")
    ran = hanse("journey", question, "--page", tmp_path / "page.html", "--node", tmp_path)
    refused(ran, "config.missing")


def test_a_table_too_wide_wraps_its_widest_columns_and_cuts_nothing() -> None:
    figure = "+410,927 (-970,588 to +1,792,443)"
    text = io.StringIO()
    wide = table(("arm", *"abcd"), [("not exposed", *[figure] * 4)], right=(1, 2, 3, 4))
    Console(file=text, width=120).print(wide)
    told = text.getvalue()
    assert "not exposed" in told  # the narrow column of words is not squeezed to a few letters
    assert told.count("+410,927") == told.count("(-970,588") == told.count("+1,792,443)") == 4
