"""``hanse doctor``: what is wrong with this node, and how to mend it."""

from __future__ import annotations

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import say, write_json


def doctor(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Look at keys, disk, port, ledger, partners, clocks, versions, datasets and contracts. Status 1 if bad."""
    from hanse.clock import SystemClock
    from hanse.node.health import examine

    found = examine(node, SystemClock())
    bad = [f for f in found if f.state == "bad"]
    if as_json:
        write_json(
            [
                {"topic": f.topic, "state": f.state, "what": f.what, "remedy": f.remedy}
                for f in found
            ]
        )
    else:
        marks = {"good": ("ok  ", "green"), "warning": ("look", "yellow"), "bad": ("BAD ", "red")}
        for finding in found:
            mark, style = marks[finding.state]
            say(
                f"{mark}  {finding.topic}: {finding.what}",
                style=style if finding.state != "good" else "",
            )
            if finding.remedy:
                say(f"      to mend it: {finding.remedy}")
        warnings = sum(f.state == "warning" for f in found)
        say(f"{len(found)} looked at: {len(bad)} bad, {warnings} to look after.")
    if bad:
        raise typer.Exit(1)
