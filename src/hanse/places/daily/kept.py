"""A feed as the daily job reads it: by event day and report day, out of an append-only store of its own.

    1. The source as it stands today, without rows that cannot be true (days to come, rows that contradict each
       other), goes into the store: only what is new in it, as reported today. A value that comes late, or is
       corrected, is one more report; what a source leaves out of its file later stays known.
    2. What was known at the end of the day is read back, and checked; what is wrong is taken out, and named.
    3. Only then it is laid on the places of the contract's list, so that places under new names are found.

A job about a day before the newest version reads what was known then, and adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from hanse.places.checks.checks import Finding, checked, rows_checked
from hanse.places.feeds.feed import Feed, day
from hanse.places.feeds.store import FeedStore

_STRANGERS = (
    2  # places of other lists in a feed that are looked through for new names, by place of the list
)


@dataclass(frozen=True, eq=False)
class Source:
    """A feed as its dataset stands, over whatever places it names, and what reading it found."""

    feed: Feed
    found: tuple[Finding, ...] = ()


def taken_in(
    store: FeedStore | None, source: Source, as_of: np.datetime64
) -> tuple[Feed, tuple[Finding, ...]]:
    """(everything known at the end of ``as_of``, what was found of rows). Without a ``store``, the source itself.

    Raises `Fault` ``feed.changed`` if the store is not what it was.
    """
    rows, found = rows_checked(source.feed, as_of)
    if store is None:
        return replace(rows, unread=0), (*source.found, *found)
    store.verify()
    versions = store.versions()
    if not versions or day(versions[-1].received) <= as_of:
        today: date = as_of.astype(object)
        store.append(rows, today)
    days = [version.received for version in store.versions()]
    kept = (store.read() if days else rows).as_known(as_of)
    if len(set(days)) < len(days):
        kept = _last_words(kept)
    return replace(kept, name=rows.name), (*source.found, *found)


def _last_words(feed: Feed) -> Feed:
    """Of several versions of one day the last: a source that was mended before noon is not in two minds."""
    if not len(feed):
        return feed
    days = (feed.date - feed.date.min()).astype(np.int64)
    told = (feed.reported - feed.reported.min()).astype(np.int64)
    cell = (feed.place.astype(np.int64) * (days.max() + 1) + days) * (told.max() + 1) + told
    # Rows are in the order of their versions; of equal cells the one that stands last in it is kept.
    _, last = np.unique(cell[::-1], return_index=True)
    kept = np.zeros(len(feed), np.bool_)
    kept[len(feed) - 1 - last] = True
    return feed if kept.all() else feed.where(kept)


def clean(
    feed: Feed, as_of: np.datetime64, places: Sequence[str], since: Any, lateness: int | None
) -> tuple[Feed, tuple[Finding, ...]]:
    """(the feed over ``places`` without what is wrong with it, what was found)."""
    listed = set(places)
    strangers = sum(name not in listed for name in feed.places)
    if strangers > _STRANGERS * len(
        places
    ):  # of a larger list: no new names can be told among so many
        feed = feed.over(places)
    fine, found = checked(feed, as_of, since=since, usual_lateness=lateness)
    return fine.over(places), found
