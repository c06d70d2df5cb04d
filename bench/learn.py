"""Learning together, by the clock, beside a peer and beside plaintext: wall, CPU, bytes, memory and AUC.

    python bench/learn.py --task boosting --rows 100000 --peer plaintext --json
    python bench/learn.py --task glm --rows 100000 --peer sslr --json
    python bench/learn.py --task horizontal --rows 100000 --peer flower --json

Each task is a module of its own, `learn_<task>.py`, with `arguments(parser)` (optional: flags of its own) and
`run(args)`; what it measures, and what lies in and out of the clock, stands at its head. Every answer has the
keys of `FIGURES`, null where a figure does not apply, and after them what the task adds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import Any

from hanse.errors import HanseError

TASKS = ("boosting", "glm", "horizontal")
PEERS = ("sgb", "sslr", "flower", "plaintext", "none")
FIGURES = (
    "wall_s",  # of one training
    "cpu_s",  # over all parties
    "bytes",  # on the wire, over all parties
    "peak_rss_mib",
    "auc",
    "plaintext_auc",
    "plaintext_s",  # all columns in one place
    "peer_s",
    "peer_ratio",  # peer_s / wall_s: how many times faster we are
    "plaintext_ratio",  # wall_s / plaintext_s: how many times slower than in one place
)


def asked(arguments: list[str]) -> argparse.Namespace:
    """The common flags, then those of the task that was named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--task", choices=TASKS, default="boosting")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer", choices=PEERS, default="none")
    parser.add_argument("--repeats", type=int, default=1, help="of ours; the median is printed")
    parser.add_argument("--json", action="store_true")
    task, _ = parser.parse_known_args([a for a in arguments if a not in ("-h", "--help")])
    module = importlib.import_module(f"learn_{task.task}")
    if hasattr(module, "arguments"):
        module.arguments(parser)
    args = parser.parse_args(arguments)
    args.run = module.run
    return args


def main(arguments: list[str] | None = None) -> int:
    """Run one task and print its figures; 1 and a plain sentence where it cannot be run."""
    args = asked(sys.argv[1:] if arguments is None else arguments)
    if args.rows < 1 or args.repeats < 1:
        print("rows and repeats start at 1", file=sys.stderr)
        return 1
    try:
        found: dict[str, Any] = args.run(args)
    except HanseError as error:
        print(error, file=sys.stderr)
        return 1
    out = {"task": args.task, "rows": args.rows, "peer": args.peer}
    out |= {name: found.pop(name, None) for name in FIGURES} | found
    if args.json:
        print(json.dumps(out))
    else:
        for name, value in out.items():
            print(f"{name:18} {value:.4g}" if isinstance(value, float) else f"{name:18} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
