"""``hanse places``: the public lists of places that contracts name by their digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import say, show, write_json

app = typer.Typer(
    help="Lists of places (gazetteers) that contracts refer to.", no_args_is_help=True
)


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet: id, name, type, lat, lon, perhaps h3, district, city.",
            show_default=False,
        ),
    ],
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Check a list of places and keep a copy at this node; prints what a contract says about it."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        held = office.shelf.add(file)
    if as_json:
        write_json({"digest": held.digest, "places": held.places})
        return
    say(f"Added {held.places:,} places. In a contract:")
    say("")
    say("[[gazetteers]]")
    say('name = "places"                         # what its columns of kind "place" refer to')
    say(f"places = {held.places}")
    say(f'digest = "{held.digest}"')
    say("excluded = []                           # types refused besides the sensitive ones")


@app.command("list")
def list_places(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All lists of places at this node."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        held = office.shelf.all()
    if as_json:
        write_json([{"digest": h.digest, "places": h.places} for h in held])
        return
    show(
        ("digest", "places", "for instance"),
        [(h.digest, f"{h.places:,}", ", ".join(h.examples)) for h in held],
        right=(1,), empty="no lists of places yet",
    )  # fmt: skip
