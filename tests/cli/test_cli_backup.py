"""``hanse node backup`` and ``restore``: with a person, and without one, as from cron."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, refused

WORDS = "correct horse battery"


@pytest.fixture
def node(make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node, and no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.delenv("HANSE_BACKUP_PASSPHRASE", raising=False)
    monkeypatch.delenv("HANSE_BACKUP_PASSPHRASE_FILE", raising=False)
    return make_node("retail-chain")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "words"
    file.touch(mode=0o600)
    file.write_text(WORDS + "\nnot this\n")
    return file


def test_without_a_terminal_and_a_passphrase_it_says_what_to_give(
    hanse: Hanse, node: Path, tmp_path: Path
) -> None:
    ran = hanse("node", "backup", tmp_path / "b", "--node", node)
    refused(ran, "backup.passphrase", "--passphrase-file", "HANSE_BACKUP_PASSPHRASE")
    assert not (tmp_path / "b").exists()


def test_a_file_and_a_variable_give_the_passphrase_without_a_word(
    hanse: Hanse, node: Path, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hanse("node", "backup", tmp_path / "one", "--passphrase-file", secret, "--node", node)
    assert made.status == 0, made.err
    monkeypatch.setenv("HANSE_BACKUP_PASSPHRASE", WORDS)
    assert hanse("node", "backup", tmp_path / "two", "--node", node).status == 0
    for name in ("one", "two"):
        assert hanse("node", "restore", tmp_path / name, tmp_path / f"from-{name}").status == 0
    monkeypatch.setenv("HANSE_BACKUP_PASSPHRASE", "another one altogether")
    refused(hanse("node", "restore", tmp_path / "one", tmp_path / "not"), "backup.wrong")
    monkeypatch.setenv("HANSE_BACKUP_PASSPHRASE_FILE", str(secret))  # a file goes before the text
    assert hanse("node", "restore", tmp_path / "one", tmp_path / "again").status == 0
    assert WORDS not in made.out + made.err


def test_files_of_the_passphrase_that_are_refused(
    hanse: Hanse, node: Path, secret: Path, tmp_path: Path
) -> None:
    words = ("node", "backup", tmp_path / "b", "--passphrase-file", secret, "--node", node)
    secret.chmod(0o640)
    refused(hanse(*words), "file.shared", "0640", "chmod 600")
    secret.chmod(0o600)
    secret.write_text("\n" + WORDS)
    refused(hanse(*words), "file.syntax", "first line")
    secret.write_bytes(b"\xff\xfe\x00")
    refused(hanse(*words), "file.syntax", "UTF-8")
    secret.write_text("short\n")
    refused(hanse(*words), "backup.passphrase", "shorter")
    secret.unlink()
    refused(hanse(*words), "file.missing")
    secret.mkdir()
    refused(hanse(*words), "file.unreadable")
    assert not (tmp_path / "b").exists()


def test_a_process_without_a_terminal_does_not_wait(node: Path, tmp_path: Path) -> None:
    """As cron runs it: a real process whose input is open and silent."""
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "hanse.cli", "node", "backup", str(tmp_path / "b"), "--node", str(node)],
        stdin=pipe, stdout=pipe, stderr=pipe, text=True,
    ) as ran:  # fmt: skip
        assert ran.wait(20) == 1
        assert ran.stderr is not None
        assert "backup.passphrase" in ran.stderr.read()
