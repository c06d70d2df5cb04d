"""``hanse node backup``, ``restore`` and ``move-store``; ``hanse node renew``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import HERE, NodeFolder
from hanse.cli.passphrase import FILE_VARIABLE, VARIABLE, passphrase
from hanse.cli.screen import note, say

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        envvar=FILE_VARIABLE,
        help="A file, mode 600, with the passphrase in its first line.",
        show_default=f"{VARIABLE}, or you are asked",
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)],
    passphrase_file: PassphraseFile = None,
    node: NodeFolder = HERE,
) -> None:
    """Write keys, configuration, store, places and rosters to one encrypted file. The node may run.

    Without a terminal, as from cron, the passphrase comes from a file or the environment.
    """
    from hanse.clock import SystemClock
    from hanse.entropy import SystemEntropy
    from hanse.node.backup import back_up

    size = back_up(
        node, file, passphrase(passphrase_file, twice=True), SystemClock(), SystemEntropy()
    )
    say(
        f"Wrote {file}, {size:,} bytes, encrypted. Data files of partners' and own datasets are not in it."
    )
    say(f"  To restore: hanse node restore {file} NEW-FOLDER")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="A new folder for the node.", show_default=False)],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a node from a backup, in a new folder. Stop the old node first, and for good."""
    from hanse.node.backup import restore as make
    from hanse.node.faces import facade

    party = make(file, folder, passphrase(passphrase_file, twice=False))
    with facade.office_of(folder) as office:
        verdict = facade.verify_ledger(office)
        office.ledger.append("restored", {"entries": verdict.count, "head": verdict.head})
    say(f"Restored the node of {party} in {folder}; its ledger has {verdict.count:,} entries"
        + (" in an unbroken chain." if verdict.ok else f" and is broken at {verdict.first_bad}."))  # fmt: skip
    note("What happened after the backup is missing here; partners' ledgers have their part of it.")
    say(f"Next: hanse doctor --node {folder}, hanse node start --node {folder}")


def move_store(
    to: Annotated[str, typer.Option(help="postgresql+psycopg://user@host/database, empty.")],
    node: NodeFolder = HERE,
) -> None:
    """Copy the node's store into an empty PostgreSQL database. The node must be stopped."""
    from hanse.errors import Refusal
    from hanse.node.backup import move_store as move
    from hanse.node.faces import facade

    if facade.status(node) is not None:
        raise Refusal("node.running", "the node runs, and would go on writing to the old store",
                      remedy="hanse node stop, then again")  # fmt: skip
    counts = move(node, to)
    say(f"Copied {sum(counts.values()):,} rows of {len(counts)} tables.")
    say("Next: write into hanse.toml, then start the node:")
    say('  [store]\n  url = "..."   # the address you gave')


def renew(node: NodeFolder = HERE) -> None:
    """Make a new TLS key and certificate, tell linked partners, and let the node restart with them.

    The signing key stays; it vouches for the new certificate, so contracts need no new version.
    """
    from hanse.clock import SystemClock
    from hanse.entropy import SystemEntropy
    from hanse.node.faces import facade
    from hanse.node.identity.keys import renew_certificate

    identity = renew_certificate(node, clock=SystemClock(), entropy=SystemEntropy())
    with facade.office_of(node) as office:
        office.ledger.append(
            "certificate", {"party": office.party, "certificate": identity.card.fingerprint}
        )
    say(f"The new certificate holds until {identity.card.x509().not_valid_after_utc:%Y-%m-%d}.")
    told: dict[str, str] = {}
    if facade.status(node) is not None:
        told = facade.ask(node, {"verb": "announce"})["parties"]
        for party, answer in sorted(told.items()):
            say(f"  {party}: {answer}")
        facade.ask(node, {"verb": "stop"})
        say("The node has been told to stop. Start it again: hanse node start")
    if not told or any(answer != "knows it" for answer in told.values()):
        say(f"Send the new card to partners that do not know it: {node / 'identity.json'}")
        say(f"  To compare by voice: {identity.card.spoken}")
