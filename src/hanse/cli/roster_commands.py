"""``hanse roster``: what this node keeps of alignments that serve several days."""

from __future__ import annotations

from typing import Annotated

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import moment, note, show, write_json

app = typer.Typer(
    help="Rosters: one matching of people for a period of jobs.", no_args_is_help=True
)


@app.command("list")
def list_all(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """The rosters of which this node keeps something."""
    from hanse.node.faces import facade
    from hanse.node.jobs.rosters import ORDER, SEAT

    with facade.office_of(node) as office:
        rosters = office.rosters
        found = [
            {"name": n.name, "contract": n.contract, "made_by": n.job, "made": n.made.isoformat(),
             "expires": n.expires.isoformat(), "providers": list(n.providers),
             "datasets": list(n.datasets),
             "kept": [part for part in (SEAT, ORDER) if rosters.has(n.job, part)]}
            for n in rosters.notes()
        ]  # fmt: skip
    if as_json:
        write_json(found)
        return
    words = {SEAT: "a seat's secret orders", ORDER: "the order of its people"}
    show(
        ("name", "contract", "made by job", "made", "expires", "of", "kept here"),
        [
            (f["name"], f["contract"], str(f["made_by"])[:12], moment(str(f["made"])),
             moment(str(f["expires"])), ", ".join(f["datasets"]),
             ", ".join(words[part] for part in f["kept"]) or "its name only")
            for f in found
        ],
        empty="no rosters; a question that names one makes it",
    )  # fmt: skip


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The roster's name.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Delete what this node keeps of a roster. Nobody can use it any more; a new name makes a new one."""
    from hanse.errors import Refusal
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        found = [n for n in office.rosters.notes() if n.name == name]
        for one in found:
            office.rosters.remove(one.job)
            office.ledger.append("roster", {"name": name, "job": one.job, "removed": True})
        known = ", ".join(sorted({n.name for n in office.rosters.notes()})) or "none"
    if not found:
        raise Refusal("roster.unknown", f"this node keeps no roster {name[:64]!r}",
                      remedy=f"use one of those there are ({known})")  # fmt: skip
    note(f"Roster {name} is deleted here.")
