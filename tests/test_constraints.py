"""``constraints.txt``: what ``just setup`` installs: every dependency, at one version, by hash, from anywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "constraints.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    re.sub(r"[-_.]+", "-", name).lower(): version
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", TEXT, re.MULTILINE)
}  # fmt: skip
EXTRAS = ("demo", "dev")  # what the justfile's recipe names


@pytest.mark.parametrize(
    "text", [*PROJECT["dependencies"], *(r for e in EXTRAS for r in PROJECT["optional-dependencies"][e])]
)  # fmt: skip
def test_every_dependency_is_pinned_to_a_version_that_it_allows(text: str) -> None:
    wanted = Requirement(text)
    name = re.sub(r"[-_.]+", "-", wanted.name).lower()
    assert name in PINS, "run 'just constraints'"
    assert wanted.specifier.contains(PINS[name], prereleases=True), "run 'just constraints'"


def test_every_pin_has_hashes_and_no_host_is_named() -> None:
    blocks = [block for block in re.split(r"(?m)^(?=\S)", TEXT) if block.strip()]
    assert len(blocks) >= len(PINS) > 80  # a package may have a version for each Python
    assert [b.split("==")[0] for b in blocks if "--hash=sha256:" not in b] == []
    assert "://" not in TEXT


def test_the_recipe_covers_what_the_tests_need() -> None:
    recipe = (ROOT / "justfile").read_text()
    assert all(f"--extra {extra}" in recipe for extra in EXTRAS)
    assert "--generate-hashes" in recipe
