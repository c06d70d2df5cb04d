"""``hanse partner``: whom this node knows, by their identity cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder, Reason, address
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
    from hanse.node.faces import facade
    from hanse.node.identity.cards import read_card
    from hanse.node.identity.partners import Partner

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
    from hanse.node.faces import facade

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
            "holds": list(p.holds),
            "confirmed": p.is_confirmed,
        }
        for p in partners
    ]
    if as_json:
        write_json(rows)
        return
    words = {None: "node stopped", True: "yes", False: "no"}
    show(
        ("partner", "organisation", "has", "address", "card's digits", "compared", "linked"),
        [
            (
                r["party"],
                r["organisation"],
                ", ".join(r["holds"]),
                r["address"] or "",
                r["spoken"],
                "yes" if r["confirmed"] else "no",
                words[r["linked"]],
            )
            for r in rows
        ],
        empty="no partners yet",
    )


@app.command()
def invite(
    file: Annotated[
        Path | None, typer.Argument(help="A new file; without it, the link is printed.")
    ] = None,
    holds: Annotated[
        list[str] | None,
        typer.Option(help="What data this party has: operator, map, sdk, media, shop, retail, payments, "
                     "agency or other. Repeat."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Where partners reach this node."),
    ] = None,
    text: Annotated[str, typer.Option("--note", help="A word to the partner.")] = "",
    node: NodeFolder = HERE,
) -> None:  # fmt: skip
    """Make a signed invitation to send to a partner: this node's card, its address, what data it has."""
    where = address(at) if at is not None else None

    from hanse.cli.documents import write_new
    from hanse.clock import SystemClock
    from hanse.node.faces import facade
    from hanse.node.identity.invitations import as_link
    from hanse.node.identity.invitations import invite as make

    with facade.office_of(node) as office:
        data = make(office.identity, where, holds or (), text, SystemClock().now())
        own = office.identity.card
    if file is None:
        typer.echo(as_link(data))
    else:
        write_new(file, data + b"\n", "the invitation")
        say(f"Wrote {file}.")
    note("It serves for 14 days. The partner accepts it with: hanse partner accept FILE-OR-LINK")
    note(f"Digits to read out to the partner by telephone: {own.spoken}")


@app.command()
def accept(
    invitation: Annotated[str, typer.Argument(help="The file or the link.", show_default=False)],
    digits: Annotated[
        str,
        typer.Option(help="The card's digits as the partner read them out; else confirm later."),
    ] = "",
    node: NodeFolder = HERE,
) -> None:
    """Add the partner that sent an invitation."""
    from hanse.cli.documents import read_bytes
    from hanse.clock import SystemClock
    from hanse.node.faces import facade
    from hanse.node.identity.invitations import LINK, read_invitation
    from hanse.node.identity.partners import Partner

    linked = invitation.startswith(LINK)
    text = (
        invitation
        if linked
        else read_bytes(Path(invitation), "the invitation").decode(errors="replace")
    )
    read = read_invitation(text, SystemClock().now())
    own = read.identity()
    with facade.office_of(node) as office:
        office.add_partner(Partner(own, read.address, read.holds))
        if digits:
            office.confirm_partner(own.party, digits)
    running = facade.take_in_partners(node)
    say(
        f"Added {own.party}: {own.organisation}"
        + (f"; has data of: {', '.join(read.holds)}" if read.holds else "")
    )
    if read.note:
        say(f"  They say: {read.note}")
    if not digits:
        say("  Ask them by telephone for the digits of their card, then: "
            f"hanse partner confirm {own.party} --digits '...'")  # fmt: skip
    if not running:
        say("  The node does not run; it will know them when it starts.")


@app.command()
def confirm(
    name: Annotated[str, typer.Argument(help="The partner's short name.", show_default=False)],
    digits: Annotated[
        str, typer.Option(help="The card's digits as they read them out.", show_default=False)
    ],
    node: NodeFolder = HERE,
) -> None:
    """Note that the digits of a partner's card were compared by telephone."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        office.confirm_partner(name, digits)
    say(f"The card of {name} is confirmed. It is written in the ledger.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The partner's short name.", show_default=False)],
    reason: Reason,
    node: NodeFolder = HERE,
) -> None:
    """End everything with a partner at once: its link, and (suspended) every contract with it."""
    if not reason.strip():
        raise typer.BadParameter("--reason must say why")

    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        suspended = office.revoke_partner(name, reason)
    facade.take_in_partners(node)
    say(f"Revoked {name}. Suspended: {', '.join(suspended) or 'no contract'}.")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The partner's short name.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Forget a partner and end its link. Contracts with it stay; suspend them if need be."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        office.remove_partner(name)
    facade.take_in_partners(node)
    say(f"Removed {name}.")


@app.command()
def card(node: NodeFolder = HERE) -> None:
    """Print this node's own card (to send to partners); the digits to compare go to standard error."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        own = office.identity.card
    write_json(own.document())
    note(f"Digits to read out when a partner asks: {own.spoken}")
