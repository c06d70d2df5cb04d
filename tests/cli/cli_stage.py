"""What the command line's tests share: what a command did, and that it was refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hanse = Callable[..., Ran]
MakeNode = Callable[[str], Path]


def refused(ran: Ran, code: str, *words: str, status: int = 1) -> None:
    """The command failed with exactly one error, which has this code, says these words and how to mend it."""
    assert ran.status == status, (ran.out, ran.err)
    assert ran.err.count("error [") == 1, ran.err
    assert f"error [{code}]" in ran.err, ran.err
    assert "to mend it:" in ran.err
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err, (word, ran.err)
