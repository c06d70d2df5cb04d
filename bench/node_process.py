"""One node in a process of its own, for benchmarks and fault tests: warmed up, then serving."""

from __future__ import annotations

import sys
from pathlib import Path

from hanse.node.daemon import Node
from hanse.node.faces.facade import warm_up
from hanse.node.heap import keep_freed_memory

if __name__ == "__main__":
    keep_freed_memory()
    warm_up()
    Node(Path(sys.argv[1])).run()
