"""Nodes in temporary folders, and the command line called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, Ran

from hanse.cli.main import main


@pytest.fixture
def hanse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hanse:
    """Run ``hanse`` with these words."""
    monkeypatch.delenv("HANSE_NODE", raising=False)

    def run(*words: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def make_node(hanse: Hanse, tmp_path: Path) -> MakeNode:
    """A new node's folder, by party name."""

    def make(party: str) -> Path:
        folder = tmp_path / party
        made = hanse("init", folder, "--party", party, "--organisation", f"Organisation {party}",
                     "--listen", "127.0.0.1:0")  # fmt: skip
        assert made.status == 0, made.err
        return folder

    return make
