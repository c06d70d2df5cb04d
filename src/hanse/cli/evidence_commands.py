"""``hanse evidence``: what an auditor needs, in one file that proves itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import say, write_json

app = typer.Typer(
    help="Evidence packs: make, verify; impact-assessment drafts.", no_args_is_help=True
)
NewFile = Annotated[Path, typer.Argument(help="A new file.", show_default=False)]
Contract = Annotated[str, typer.Argument(help="The contract's id.", show_default=False)]


@app.command()
def make(contract_id: Contract, file: NewFile, node: NodeFolder = HERE) -> None:
    """Write everything about a contract to one signed file: texts, reviews, jobs, openings, ledger, code."""
    from hanse.clock import SystemClock
    from hanse.evidence import desk
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        size = desk.write_pack_file(office, contract_id, SystemClock().now(), file)
        key, party = office.identity.card.signing_key, office.party
    say(f"Wrote {file}, {size:,} bytes, signed by {party} (key {key}).")
    say(f"  To check it anywhere: hanse evidence verify {file}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An evidence pack.", show_default=False)],
    key: Annotated[
        list[str] | None,
        typer.Option(help="PARTY=HEX: a signing key that you know by another way. Repeat."),
    ] = None,
    every: Annotated[
        bool | None,
        typer.Option(
            "--every-signature/--last-signature",
            help="Check each ledger entry's signature, or the last one's, which covers all before it.",
            show_default="every",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a pack, without a node. Status 1 if anything in it does not hold, saying what."""
    from hanse.errors import Foul
    from hanse.evidence import desk

    keys = {}
    for pair in key or ():
        party, sign, value = pair.partition("=")
        if not sign:
            raise typer.BadParameter("--key is PARTY=HEX")
        keys[party] = value.lower()
    report = desk.verified(file, keys, every=every)
    if as_json:
        write_json(report)
        if not report["ok"]:
            raise typer.Exit(1)
        return
    for fact in report["facts"]:
        say(fact)
    if not report["ok"]:
        raise Foul("evidence.broken", f"the pack does not hold: {'; '.join(report['problems'][:5])}",
                   remedy="keep the file, and ask whoever made it for the pack again; compare with partners' packs",
                   where=str(file))  # fmt: skip
    say("The pack holds. Compare the keys with the parties by another way than this file.")


@app.command()
def verifier(file: NewFile) -> None:
    """Write the verifier as one file for a machine that has Python and nothing else."""
    from hanse.cli.documents import write_new
    from hanse.evidence import desk

    write_new(file, desk.verifier_file(), "the verifier")
    say(f"Wrote {file}. On any machine: python {file.name} PACK.zip")


@app.command()
def impact(contract_id: Contract, file: NewFile, node: NodeFolder = HERE) -> None:
    """Write the draft of an impact assessment, filled in from the contract, as a page (.html)."""
    from hanse.cli.documents import write_new
    from hanse.evidence import desk
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        data = desk.impact_draft(office, contract_id)
    write_new(file, data, "the draft")
    say(f"Wrote {file}: a draft to be completed by people, and no legal advice.")
