"""What is known of a person, as fields of a provider's row: crowds, counts, labels and values.

A crowd is one bit (met the conditions often enough within the period), a count is how often (capped), a label is a
code (0 is unknown), a value is a sum over the person's events (capped). All are made by the provider at home;
their widths bound what one person can move, whatever a provider sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from hanse.measure.questions import Source

UNKNOWN = "unknown"


@dataclass(frozen=True)
class CrowdField:
    """One bit: the person has at least ``source.at_least`` events of the source in [starts, ends).

    A dataset without a time column only says who is in it: ``time`` is "".
    """

    name: str
    provider: str
    source: Source
    time: str
    starts: date
    ends: date

    bits = 1


@dataclass(frozen=True)
class CountField:
    """How many events of the source the person has in [starts, ends), at most 2**bits - 1."""

    name: str
    provider: str
    source: Source
    time: str
    starts: date
    ends: date
    bits: int


@dataclass(frozen=True)
class LabelField:
    """The person's label: code 0 is unknown, code v + 1 is ``names[v]``. The most frequent value counts."""

    name: str
    provider: str
    dataset: str
    column: str
    names: tuple[str, ...]
    codes: dict[str, int]  # value in the data -> code

    @property
    def bits(self) -> int:
        return len(self.names).bit_length()

    def __hash__(self) -> int:
        return hash((self.name, self.provider, self.dataset, self.column, self.names))


@dataclass(frozen=True)
class ValueField:
    """A column summed over the person's events of the source in [starts, ends), in ``unit``s, capped.

    Each event counts round(value / unit); the sum is at most 2**bits - 1.
    """

    name: str
    provider: str
    source: Source
    time: str
    starts: date
    ends: date
    column: str
    unit: int
    bits: int

    @property
    def most(self) -> int:
        return (1 << self.bits) - 1


PersonField = CrowdField | CountField | LabelField | ValueField
