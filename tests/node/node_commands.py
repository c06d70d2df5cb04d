"""The command line of organisations whose nodes run as processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hanse.cli.main import _status
from node_stage import Nodes

Run = Callable[..., Any]


def commands(nodes: Nodes, group: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """``hanse GROUP`` at an organisation: what it prints as JSON or as text, or the text of its error."""

    def command(name: str, *words: str, fails: bool = False, as_json: bool = True) -> Any:
        more = ["--json"] if as_json and not fails else []
        status = _status([group, *words, "--node", str(nodes[name].folder), *more])
        said = capsys.readouterr()
        assert (status != 0) == fails, said.err
        return said.err if fails else json.loads(said.out) if as_json else said.out

    return command
