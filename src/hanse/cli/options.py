"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HERE = Path()

NodeFolder = Annotated[
    Path,
    typer.Option(
        "--node", envvar="HANSE_NODE", metavar="FOLDER", help="The node's folder.",
        show_default="this folder",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; it is written down.", show_default=False)
]


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` as (host, port)."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, such as node.example.org:7470")
    return host, int(port)
