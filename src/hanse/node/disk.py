"""A full disk, said plainly: for everything in a node that writes files."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from hanse.errors import Fault

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn "no space left" under this into `Fault` ``disk.full``; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise disk_full(str(folder)) from error


def disk_full(where: str) -> Fault:
    """The error when the disk under the folder (or database) ``where`` is full."""
    return Fault(
        "disk.full",
        "the disk of this node is full; nothing was lost that had been written",
        remedy=f"make room on the disk that holds {where}, then run the job again",
        where=where,
    )
