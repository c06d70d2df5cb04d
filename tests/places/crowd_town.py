"""A small made town for the tests of the crowd model: places with a rhythm, owners, tables that tell of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanse.places.crowd.ground import Calendar, Ground, calendar, label_table
from hanse.places.feeds.feed import Feed, from_matrix


@dataclass(frozen=True, eq=False)
class Town:
    ground: Ground
    calendar: Calendar
    counts: np.ndarray  # [places, days]
    table: np.ndarray  # [places, measures] that tell of level and rhythm
    owners: list[np.ndarray]

    def feed(self, lateness: int = 1) -> Feed:
        return from_matrix(
            self.ground.keys, self.calendar.days, self.counts, lateness=lateness, name="owner"
        )

    @property
    def logs(self) -> np.ndarray:
        return np.log(self.counts)


def town(
    places: int = 60,
    days: int = 220,
    owners: int = 3,
    seed: int = 1,
    shock: float = 0.0,
    from_day: int = 0,
) -> Town:
    """``shock`` is added to all log counts from ``from_day`` on."""
    chance = np.random.default_rng(seed)
    cal = calendar("2023-01-01", np.datetime64("2023-01-01") + days - 1,
                   {"2023-02-15": "feast", "2023-05-03": "fair", "2023-06-20": "feast"})  # fmt: skip
    position = chance.uniform(0, 10, (places, 2))
    lines = [["red"], ["blue"], ["red", "blue"]]
    texts = ["|".join(lines[i % 3]) for i in range(places)]
    leisure = chance.normal(size=places)
    level = (
        8 + 0.6 * chance.normal(size=places) + 0.3 * np.array([len(t.split("|")) for t in texts])
    )
    off = cal.off.astype(float)
    day = 0.1 * np.sin(np.arange(days) / 30) - 0.3 * off + 0.02 * chance.normal(size=days)
    logs = (
        level[:, None]
        + day
        + np.outer(leisure, 0.3 * (off - off.mean()))
        + 0.05 * chance.normal(size=(places, days))
    )
    logs[:, from_day:] += shock if shock else 0.0
    table = np.exp(
        np.c_[
            level + 0.2 * chance.normal(size=places), leisure + 0.2 * chance.normal(size=places) + 5
        ]
    )
    parts = np.array_split(chance.permutation(places), owners)
    ground = Ground(tuple(f"place {i}" for i in range(places)), position, label_table(texts))
    return Town(ground, cal, np.exp(logs), table, [np.sort(p) for p in parts])
