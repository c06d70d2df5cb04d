"""A full disk, said plainly: for everything in a node that writes files."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from hanse.errors import Fault

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LEAST_ROOM = 128 << 10  # a store cannot even be opened with less


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
        "the disk is full; nothing was lost that had been written",
        remedy=f"make room on the disk that holds {where}, then do it again",
        where=where,
    )


def has_no_room(folder: str) -> bool:
    """Whether the disk of the folder has too little room to open a store; False if that cannot be told."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_ROOM
    except OSError:
        return False
