"""``hanse init`` and ``hanse node``: a node's folder, and its process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder, address
from hanse.cli.screen import note, say, show, size, write_json

app = typer.Typer(help="Start, stop and watch this organisation's node.", no_args_is_help=True)


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for the node.", show_default=False)],
    party: Annotated[
        str, typer.Option(help="This party's short name: lower case, digits, hyphens.")
    ],
    organisation: Annotated[str, typer.Option(help="The organisation's legal name.")],
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where partners connect.", show_default="0.0.0.0:7470"
        ),
    ] = None,
    no_listen: Annotated[
        bool, typer.Option("--no-listen", help="Only dial out; then partners must listen.")
    ] = False,
) -> None:
    """Make a node: its keys, its configuration, an empty data folder."""
    if no_listen and listen is not None:
        raise typer.BadParameter("--listen and --no-listen exclude each other")
    where = None if no_listen else address(listen or "0.0.0.0:7470")

    from hanse.node.faces import facade

    card = facade.create_node(folder, party, organisation, where)
    say(f"Made the node of {organisation} in {folder}.")
    say(f"  Its card for partners:  {folder / 'identity.json'}")
    say(f"  To compare by voice:    {card.spoken}")
    say(
        f"  Its private keys:       {folder / 'keys'} (keep a backup where nobody else can read it)"
    )
    say(f"Next: hanse partner add CARD --node {folder}, hanse node start --node {folder}")


@app.command()
def start(
    node: NodeFolder = HERE,
    background: Annotated[
        bool, typer.Option("--background", help="Detach; return when the node is listening.")
    ] = False,
    console: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Also serve the console, on this port of 127.0.0.1."),
    ] = None,
    report_to: Annotated[int | None, typer.Option("--report-to", hidden=True)] = None,
    until_input_ends: Annotated[bool, typer.Option("--until-input-ends", hidden=True)] = False,
) -> None:
    """Run the node. Log lines go to standard error, with --background to data/node.log."""
    from hanse.cli import node_process

    if background:
        running = node_process.start(node, console)
        place = _place(running["address"])
        say(f"The node of {running['party']} runs in process {running['process']}, {place}.")
        say(f"  Log:  {running['log']}")
        say(f"  Stop: hanse node stop --node {node}")
        return
    node_process.serve(
        node, report_to=report_to, until_input_ends=until_input_ends, console=console
    )


@app.command()
def stop(node: NodeFolder = HERE) -> None:
    """Stop the node; its running jobs end with a clear error on all sides."""
    from hanse.cli import node_process

    party = node_process.stop(node)
    say(f"The node of {party} has stopped.")


@app.command()
def status(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Whether the node runs, and its links to partners."""
    from hanse.node.faces import facade

    found: dict[str, Any] = facade.ask(node, {"verb": "status"})
    if as_json:
        write_json(found)
        return
    say(
        f"The node of {found['party']} runs in process {found['process']}, "
        f"version {found['version']}, {_place(found['address'])}."
    )
    show(
        ("partner", "linked", "version", "sent", "received"),
        [
            (
                link["party"], "yes" if link["connected"] else "no", link["version"] or "",
                size(link["bytes_sent"]), size(link["bytes_received"]),
            )
            for link in found["links"]
        ],
        right=(3, 4), title="Partners", empty="none; add them with 'hanse partner add'",
    )  # fmt: skip
    for link in found["links"]:
        if link["problem"] and not link["connected"]:
            note(f"{link['party']}: {link['problem']}", style="yellow")


def _place(listening: list[Any] | None) -> str:
    return f"listening on {listening[0]}:{listening[1]}" if listening else "dialling out only"
