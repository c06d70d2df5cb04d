"""Files that somebody uploads: read from a copy that is gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hanse.errors import HanseError


@contextmanager
def uploaded(name: str, data: bytes) -> Iterator[Path]:
    """A copy of ``data`` on disk, CSV or Parquet by its file ``name``; an error under this names the upload."""
    ending = ".parquet" if name.lower().endswith(".parquet") else ".csv"
    handle, path = tempfile.mkstemp(suffix=ending)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        yield Path(path)
    except HanseError as error:
        error.where = error.where.replace(
            path, name[:80]
        )  # the copy's name says nothing to anybody
        raise
    finally:
        with suppress(OSError):
            Path(path).unlink()
