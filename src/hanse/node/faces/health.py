"""The node's health as plain values: what `hanse doctor` finds, for the console and its API."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hanse.clock import Clock
from hanse.node.health import examine


def findings(folder: Path, clock: Clock) -> list[dict[str, Any]]:
    """One finding per thing looked at: topic, state (good, warning, bad), what, remedy. Changes nothing."""
    return [asdict(found) for found in examine(folder, clock)]
