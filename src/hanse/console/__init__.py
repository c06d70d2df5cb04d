"""The console of one organisation's node: pages for people and an API for programs. See `Console`."""

from hanse.console.console import Console, serving
from hanse.console.settings import Settings

__all__ = ["Console", "Settings", "serving"]
