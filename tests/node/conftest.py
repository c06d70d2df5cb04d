"""A federation with models per test module, its nodes in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model_federation import ModelFederation


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFederation]:
    """Three running nodes."""
    made = ModelFederation.found(tmp_path_factory.mktemp("models"))
    with made.run():
        yield made
