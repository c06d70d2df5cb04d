"""Feeds kept at home, append only: what was known on any day stays what was known.

A folder holds one numbered Parquet file per version. A version holds only reports that say something new: a place
and day that was not there, or another value than the one that was known. From the second version on a report counts
as made on the day the node received it, whatever the source says: a source that rewrites its past makes a revision,
it does not change yesterday. Each version names the SHA-256 of the one before, so a file that was changed or taken
out is found (`FeedStore.verify`).

The same store keeps what was published: a number, its ends and its confidence are four feeds.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import Feed, day

_META = b"hanse-feed-version"
_FORMAT = 1
_DAY = pa.date32()


@dataclass(frozen=True)
class Version:
    """One version of a feed: its number from 1, when it came, what it added and what it changed.

    ``unchanged`` rows said what was known already and are not kept again; ``before`` is the SHA-256 of the version
    before it, "" for the first.
    """

    number: int
    received: str
    added: int
    revised: int
    unchanged: int
    before: str


class FeedStore:
    """The versions of one feed in a folder of its own. Not for two writers at once: the second gets a `Fault`."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._name = self._folder.name

    def append(self, feed: Feed, received: date) -> Version | None:
        """Keep what ``feed`` says that was not known; None if that is nothing.

        The first version keeps the source's own report days, so that a history can be back-tested. Raises `Fault`
        ``feed.received`` (before the last version, or after which rows claim to be reported) and ``feed.taken``.
        """
        versions = self.versions()
        today = day(received)
        last = day(versions[-1].received) if versions else None
        if last is not None and today < last:
            raise self._fault(
                "received",
                f"the feed was received before the version of {last}",
                "append versions in the order in which they came; check the node's clock",
            )
        if len(feed) and feed.reported[-1] > today:
            raise self._fault(
                "received",
                "the feed holds reports from after the day it was received",
                "check the report days or the lateness that the feed's description gives",
            )
        if versions:
            news, revised, unchanged = _news(self.read(), feed, today)
        else:
            news, revised, unchanged = feed, 0, 0
        if not len(news):
            return None
        version = Version(len(versions) + 1, str(today), len(news) - revised, revised, unchanged,
                          self._digest(len(versions)) if versions else "")  # fmt: skip
        self._write(news, version)
        return version

    def read(self, version: int | None = None) -> Feed:
        """The feed up to a version, the newest without one. Raises `Fault` ``feed.version``."""
        held = len(self._files())
        wanted = held if version is None else version
        if not 1 <= wanted <= held:
            raise self._fault("version", f"there is no version {wanted}" if held else "nothing is kept yet",
                              f"name a version from 1 to {held}" if held else "append the feed first")  # fmt: skip
        tables = [pq.read_table(self._path(n)) for n in range(1, wanted + 1)]
        return _feed(
            pa.concat_tables([t.replace_schema_metadata(None) for t in tables]), self._name
        )

    def versions(self) -> tuple[Version, ...]:
        """All versions, the oldest first."""
        return tuple(_version(_metadata(path), path) for path in self._files())

    def verify(self) -> None:
        """Check that no version but the newest (see `head`) was changed or taken out.

        Raises `Fault` ``feed.changed``.
        """
        for number, version in enumerate(self.versions(), start=1):
            before = self._digest(number - 1) if number > 1 else ""
            if version.number != number or version.before != before:
                raise self._fault("changed", f"version {max(1, number - 1)} is not what it was when version "
                                  f"{number} came", "take the folder back from a backup")  # fmt: skip

    def head(self) -> str:
        """The SHA-256 of the newest version, which vouches for all before it; "" if there is none.

        Whoever keeps this elsewhere (a ledger, a partner) can tell later that nothing at all was changed.
        """
        held = len(self._files())
        return self._digest(held) if held else ""

    # --- files ----------------------------------------------------------------------------------

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]" * 6 + ".parquet"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _digest(self, number: int) -> str:
        with self._path(number).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _write(self, news: Feed, version: Version) -> None:
        names = pa.array(news.places, pa.string())
        table = pa.table(
            {
                "place": pa.DictionaryArray.from_arrays(pa.array(news.place), names),
                "date": pa.array(news.date, _DAY), "reported": pa.array(news.reported, _DAY),
                "value": news.value,
            }
        ).replace_schema_metadata({_META: json.dumps(asdict(version) | {"format": _FORMAT}).encode()})  # fmt: skip
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{version.number:06}.{os.getpid()}"
        try:
            pq.write_table(table, draft, compression="zstd")
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            # A link fails where a file is: no version is ever written over.
            os.link(draft, self._path(version.number))
        except FileExistsError as error:
            raise self._fault("taken", f"version {version.number} was written by somebody else meanwhile",
                              "let one process append to a feed; try again") from error  # fmt: skip
        finally:
            draft.unlink(missing_ok=True)

    def _fault(self, code: str, message: str, remedy: str) -> Fault:
        return Fault(f"feed.{code}", message, remedy=remedy, where=f"feed {self._name}")


def _news(known: Feed, feed: Feed, today: np.datetime64) -> tuple[Feed, int, int]:
    """(the reports of ``feed`` that say something new, reported today; how many revise; how many are known)."""
    places = tuple(sorted({*known.places, *feed.places}))
    told = feed.over(places)
    dates = np.unique(told.date)
    old, new = known.over(places).known(today, dates), told.known(today, dates)
    said = ~np.isnat(told.reported_on(today, dates))
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    changed = said & ~same
    at, place = np.nonzero(changed.T)
    news = Feed(
        places,
        place.astype(np.int32),
        dates[at],
        np.full(at.size, today),
        new[place, at],
        feed.name,
    )
    return news, int((changed & ~np.isnan(old)).sum()), int((said & same).sum())


def _feed(table: Any, name: str) -> Feed:
    """The rows of all versions in the order in which they were appended."""
    column = table.column("place").unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    number: NDArray[np.int32] = column.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    made = Feed(
        tuple(column.dictionary.to_pylist()), number, table.column("date").to_numpy(),
        table.column("reported").to_numpy(), table.column("value").to_numpy(), name,
    )  # fmt: skip
    return made.over(sorted(made.places))


def _metadata(path: Path) -> dict[bytes, bytes] | None:
    """Of a version's file; nothing of one that is no longer a Parquet file."""
    try:
        found: dict[bytes, bytes] | None = pq.read_schema(path).metadata
    except pa.ArrowException:
        return None
    return found


def _version(metadata: dict[bytes, bytes] | None, path: Path) -> Version:
    try:
        fields = json.loads((metadata or {})[_META])
        if fields.pop("format") != _FORMAT:
            raise ValueError("another format")
        return Version(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise Fault(
            "feed.changed",
            f"{path.name!r} is no version of a feed",
            remedy="take the folder back from a backup",
            where=f"feed {path.parent.name}",
        ) from error
