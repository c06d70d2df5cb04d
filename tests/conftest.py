"""What all tests share: the `--slow` switch and the folder of real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the long suites")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a long suite; run it with --slow")
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def hanse_data() -> Path:
    """The folder of real data sets that HANSE_DATA names."""
    named = os.environ.get("HANSE_DATA", "")
    if not named:
        pytest.skip("HANSE_DATA is not set; it names the folder of real data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"HANSE_DATA names {named!r}, which is no folder")
    return folder
