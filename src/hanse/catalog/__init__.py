"""Datasets of one organisation: registered, checked, hashed and reduced to one row per person at home.

The public list. Names are imported at first use, so that `import hanse.catalog` stays cheap: the models
need pydantic only, reading needs DuckDB, Arrow and numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.catalog.crowd import Crowd, gather
    from hanse.catalog.datasets import (
        Column,
        Dataset,
        FileSource,
        IdColumn,
        PackageSource,
        PostgresSource,
        Presence,
        Withdrawals,
        parse_dataset,
    )
    from hanse.catalog.exposures import VisitCounts
    from hanse.catalog.gazetteers import Gazetteer, read_gazetteer
    from hanse.catalog.identifiers import HashedRows, Hasher, IdReport, hash_identifiers
    from hanse.catalog.packages import EventFilter, IdFile, Package, parse_package
    from hanse.catalog.registration import ColumnProfile, IdProfile, Profile, register
    from hanse.catalog.requests import (
        Condition,
        EventCode,
        EventGroup,
        EventValue,
        LabelRequest,
        RowRequest,
    )
    from hanse.catalog.rows import Events, PersonRows, RowsReport, read_rows
    from hanse.catalog.sources import exposures_from_presence

_HOMES = {
    "crowd": ("Crowd", "gather"),
    "datasets": (
        "Column", "Dataset", "FileSource", "IdColumn", "PackageSource", "PostgresSource", "Presence",
        "Withdrawals", "parse_dataset",
    ),
    "exposures": ("VisitCounts",),
    "identifiers": ("HashedRows", "Hasher", "IdReport", "hash_identifiers"),
    "registration": ("ColumnProfile", "IdProfile", "Profile", "register"),
    "gazetteers": ("Gazetteer", "read_gazetteer"),
    "packages": ("EventFilter", "IdFile", "Package", "parse_package"),
    "requests": (
        "Condition", "EventCode", "EventGroup", "EventValue", "LabelRequest", "RowRequest",
    ),
    "rows": ("Events", "PersonRows", "RowsReport", "read_rows"),
    "sources": ("exposures_from_presence",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Column",
    "ColumnProfile",
    "Condition",
    "Crowd",
    "Dataset",
    "EventCode",
    "EventFilter",
    "EventGroup",
    "EventValue",
    "Events",
    "FileSource",
    "Gazetteer",
    "HashedRows",
    "Hasher",
    "IdColumn",
    "IdFile",
    "IdProfile",
    "IdReport",
    "LabelRequest",
    "Package",
    "PackageSource",
    "PersonRows",
    "PostgresSource",
    "Presence",
    "Profile",
    "RowRequest",
    "RowsReport",
    "VisitCounts",
    "Withdrawals",
    "exposures_from_presence",
    "gather",
    "hash_identifiers",
    "parse_dataset",
    "parse_package",
    "read_gazetteer",
    "read_rows",
    "register",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
