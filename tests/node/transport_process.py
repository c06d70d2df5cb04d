"""A node in a process of its own, for tests that kill it. The plan is the JSON argument."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from transport_stage import QUICK

from hanse.clock import SystemClock
from hanse.node.identity.cards import read_card
from hanse.node.identity.keys import load_identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.exchange import Exchange


def main() -> None:
    plan = json.loads(sys.argv[1])
    identity = load_identity(Path(plan["folder"]), clock=SystemClock())
    directory = Directory(
        Partner(read_card(one["card"]), tuple(one["address"])) for one in plan["partners"]
    )
    exchange = Exchange(identity, directory, listen=None, timing=QUICK)
    exchange.start()
    for partner in directory.all():
        exchange.wait_for(partner.name, 10)
    exchange.open_stream(bytes.fromhex(plan["stream"]), plan["roles"], [plan["mine"]])
    sys.stdout.write("linked\n")
    sys.stdout.flush()
    time.sleep(60)


if __name__ == "__main__":
    main()
