"""``hanse partner``: whom this node knows, by their identity cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder, address
from hanse.cli.screen import note, say, show, write_json

app = typer.Typer(help="Partners, known by their identity cards.", no_args_is_help=True)


@app.command()
def add(
    card: Annotated[Path, typer.Argument(help="The partner's identity.json.", show_default=False)],
    at: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Where it listens, if it does."),
    ] = None,
    node: NodeFolder = HERE,
) -> None:
    """Add a partner, or replace its card or address."""
    where = address(at) if at is not None else None

    from hanse.cli.documents import read_bytes
    from hanse.node import facade
    from hanse.node.cards import read_card
    from hanse.node.partners import Partner

    read = read_card(read_bytes(card, "the identity card"))
    with facade.office_of(node) as office:
        office.add_partner(Partner(read, where))
    running = facade.take_in_partners(node)
    say(f"Added {read.party}: {read.organisation}.")
    say(f"  Ask them by telephone to read out the digits of their card: {read.spoken}")
    if where is None:
        say("  No address: this node waits for them to connect.")
    if not running:
        say("  The node does not run; it will know them when it starts.")


@app.command("list")
def list_partners(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All partners, and whether they are linked now."""
    from hanse.node import facade

    with facade.office_of(node) as office:
        partners = office.directory().all()
    running = facade.status(node)
    linked = {link["party"]: bool(link["connected"]) for link in (running or {}).get("links", [])}
    rows: list[dict[str, Any]] = [
        {
            "party": p.name,
            "organisation": p.card.organisation,
            "address": f"{p.address[0]}:{p.address[1]}" if p.address else None,
            "spoken": p.card.spoken,
            "fingerprint": p.fingerprint,
            "linked": linked.get(p.name) if running else None,
        }
        for p in partners
    ]
    if as_json:
        write_json(rows)
        return
    words = {None: "node stopped", True: "yes", False: "no"}
    show(
        ("partner", "organisation", "address", "card's digits", "linked"),
        [
            (r["party"], r["organisation"], r["address"] or "", r["spoken"], words[r["linked"]])
            for r in rows
        ],
        empty="no partners yet",
    )


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The partner's short name.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Forget a partner and end its link. Contracts with it stay; suspend them if need be."""
    from hanse.node import facade

    with facade.office_of(node) as office:
        office.remove_partner(name)
    facade.take_in_partners(node)
    say(f"Removed {name}.")


@app.command()
def card(node: NodeFolder = HERE) -> None:
    """Print this node's own card (to send to partners); the digits to compare go to standard error."""
    from hanse.node import facade

    with facade.office_of(node) as office:
        own = office.identity.card
    write_json(own.document())
    note(f"Digits to read out when a partner asks: {own.spoken}")
