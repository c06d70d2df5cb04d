"""Files that commands write and read where the system fails: one error, a remedy, and nothing half done."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Hanse, MakeNode, refused

from hanse.cli.documents import write_new
from hanse.errors import Fault
from hanse.node import disk
from hanse.node.faces import facade
from hanse.node.storage.database import STORE_FILE


def test_a_file_that_could_not_be_written_whole_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    class Full:
        """A file on a disk without room."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, _data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", lambda path, mode: Full(real(path, mode)))
    with pytest.raises(Fault) as fault:
        write_new(tmp_path / "c.toml", b"text", "the draft")
    assert (fault.value.code, fault.value.where) == ("file.unwritable", str(tmp_path / "c.toml"))
    monkeypatch.undo()
    write_new(tmp_path / "c.toml", b"text", "the draft")  # nothing is in the way


def test_what_the_system_says_last_is_one_error(
    hanse: Hanse, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node("retail-chain")

    def broken(_folder: Path) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "the-disk")

    monkeypatch.setattr(facade, "office_of", broken)
    refused(
        hanse("dataset", "list", "--node", node), "file.system", "Input/output error", "the-disk"
    )


def test_a_node_that_could_not_be_made_is_not_in_the_way(
    hanse: Hanse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("init", tmp_path / "n", "--party", "abc", "--organisation", "Alphabet")
    refused(
        hanse(*words[:-1], ""), "config.value", "organisation: must not be empty", "another one"
    )
    real = Path.write_text

    def failing(path: Path, *given: Any, **more: Any) -> int:
        if path.name == "hanse.toml":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, *given, **more)

    monkeypatch.setattr(Path, "write_text", failing)
    refused(hanse(*words), "node.folder")
    monkeypatch.undo()
    assert hanse(*words).status == 0


def test_a_store_on_a_full_disk_says_that_the_disk_is_full(
    hanse: Hanse, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself says of a full disk that it cannot open the file, as of one that is not there."""
    node = make_node("retail-chain")
    assert hanse("dataset", "list", "--node", node).status == 0
    for leftover in (node / "data").glob(f"{STORE_FILE}*"):
        leftover.unlink()
    (node / "data" / STORE_FILE).touch(0o600)
    (node / "data" / f"{STORE_FILE}-wal").mkdir()  # so that it cannot be opened
    refused(hanse("dataset", "list", "--node", node), "store.unwritable")
    monkeypatch.setattr(disk, "_LEAST_ROOM", 1 << 62)
    refused(hanse("dataset", "list", "--node", node), "disk.full", "make room")


def test_a_database_that_is_no_postgresql_is_refused_before_anything_is_copied(
    hanse: Hanse, make_node: MakeNode
) -> None:
    node = make_node("retail-chain")
    ran = hanse("node", "move-store", "--to", "mysql://user@host/x", "--node", node)
    refused(ran, "store.url", "PostgreSQL", "postgresql+psycopg://")
    (node / "hanse.toml").write_text(
        (node / "hanse.toml").read_text() + '\n[store]\nurl = "mysql://user:secret@host/x"\n'
    )
    ran = hanse("dataset", "list", "--node", node)
    refused(ran, "config.value", "store.url: must be the address of a PostgreSQL database")
    assert "secret" not in ran.err
