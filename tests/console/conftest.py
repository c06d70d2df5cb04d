"""What the console's tests share: a node's console with a user of every role, and browsers that are signed in."""

from __future__ import annotations

import sys
from pathlib import Path

# Three linked nodes with data and a contract, as the command line's tests have them.
sys.path.append(str(Path(__file__).parents[1] / "cli"))
sys.path.append(str(Path(__file__).parents[1] / "node"))  # organisations that train models together
