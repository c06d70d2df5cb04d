"""The lists of places that this node holds: Parquet files named by the digest of their content."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.contracts import Library
from hanse.errors import Fault
from hanse.node.disk import writing_to

if TYPE_CHECKING:
    from hanse.catalog.gazetteers import Gazetteer

FOLDER = "places"
_FILE = re.compile(r"([0-9a-f]{64})\.parquet")


@dataclass(frozen=True, slots=True)
class Held:
    """A list that is held: its digest, how many places it has, and the first of their names."""

    digest: str
    places: int
    examples: tuple[str, ...]


class PlaceShelf:
    """The folder of lists. Thread-safe; lists are read once and kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Gazetteer] = {}
        self._lock = threading.Lock()

    def add(self, path: Path) -> Held:
        """Check the list in a CSV or Parquet file and keep a copy. Raises what reading it raises."""
        import pyarrow.parquet as pq  # noqa: PLC0415 (read only where a list is added)

        from hanse.catalog.gazetteers import read_gazetteer  # noqa: PLC0415

        if not path.exists():
            raise Fault("file.missing", "there is no such file for the list of places",
                        remedy="check the path", where=str(path))  # fmt: skip
        found = read_gazetteer(path)
        try:
            with writing_to(self._folder):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
                os.close(handle)
                pq.write_table(found.to_arrow(), name)
                Path(name).replace(self._path(found.digest))
        except OSError as error:
            raise Fault("gazetteer.unwritable", f"the list cannot be kept: {error.strerror or error}",
                        remedy="check the node's data folder", where=str(self._folder)) from error  # fmt: skip
        with self._lock:
            self._known[found.digest] = found
        return _held(found)

    def all(self) -> list[Held]:
        """Every list that is held, by digest."""
        names = (
            sorted(p.name for p in self._folder.glob("*.parquet")) if self._folder.is_dir() else []
        )
        found = [self.find(match[1]) for match in map(_FILE.fullmatch, names) if match]
        return [_held(one) for one in found if one is not None]

    def find(self, digest: str) -> Gazetteer | None:
        """The list with this digest; `Fault` ``gazetteer.damaged`` if its file holds another."""
        with self._lock:
            if digest not in self._known:
                path = self._path(digest)
                if not path.is_file():
                    return None
                self._known[digest] = self._read(path, digest)
            return self._known[digest]

    def library(self) -> Library:
        """What this node brings to planning."""
        return Library(self.find)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.parquet"

    @staticmethod
    def _read(path: Path, digest: str) -> Gazetteer:
        from hanse.catalog.gazetteers import read_gazetteer  # noqa: PLC0415

        found = read_gazetteer(path)
        if found.digest != digest:
            raise Fault("gazetteer.damaged", f"the list of places {digest[:12]}... at this node is damaged",
                        remedy="remove its file and add the list again with 'hanse places add FILE'",
                        where=str(path.parent))  # fmt: skip
        return found


def _held(found: Gazetteer) -> Held:
    return Held(found.digest, len(found), found.names[:3])
