"""``hanse``: the commands of one organisation's node.

Every command imports what it needs when it runs, so that ``hanse --help`` stays quick. Deliberate errors
(`HanseError`) become one message on standard error and exit status 1; wrong usage gives status 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hanse import __version__
from hanse.cli import (
    backup_commands,
    city_command,
    console_command,
    contract_commands,
    crowd_commands,
    crowd_day_command,
    dataset_commands,
    doctor_command,
    evidence_commands,
    features_command,
    job_commands,
    learn_command,
    ledger_commands,
    model_command,
    node_commands,
    partner_commands,
    places_commands,
    power_command,
    roster_commands,
    run_command,
    serve_commands,
    standing_commands,
    value_commands,
)
from hanse.cli.demo import command as demo_command
from hanse.cli.screen import show_error
from hanse.errors import Fault, HanseError

INTERRUPTED = 130

app = typer.Typer(
    name="hanse",
    help="Separate organisations compute together on data that none of them shows to another.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hanse {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Separate organisations compute together on data that none of them shows to another."""


app.command("init")(node_commands.init)
for _command in ("backup", "restore", "renew"):
    node_commands.app.command(_command)(getattr(backup_commands, _command))
node_commands.app.command("move-store")(backup_commands.move_store)
app.add_typer(node_commands.app, name="node")
app.add_typer(partner_commands.app, name="partner")
app.add_typer(dataset_commands.app, name="dataset")
app.add_typer(crowd_commands.app, name="crowd")
app.add_typer(crowd_day_command.app, name="crowd-days")
app.add_typer(places_commands.app, name="places")
app.add_typer(contract_commands.app, name="contract")
app.command("run")(run_command.run)
for _name in run_command.VERBS:
    app.command(_name, rich_help_panel="Questions")(run_command.verb(_name))
app.command("learn", rich_help_panel="Questions")(learn_command.learn)
app.command("features", rich_help_panel="Questions")(features_command.features)
app.command("power", rich_help_panel="Questions")(power_command.power)
app.add_typer(model_command.app, name="model")
app.add_typer(standing_commands.app, name="standing")
app.add_typer(roster_commands.app, name="roster")
app.add_typer(job_commands.app, name="job")
app.add_typer(ledger_commands.app, name="ledger")
app.command("serve")(serve_commands.serve)
app.command("publish")(serve_commands.publish)
app.add_typer(serve_commands.consumers, name="consumer")
app.add_typer(serve_commands.webhooks, name="webhook")
app.add_typer(value_commands.app, name="value")
app.command("doctor")(doctor_command.doctor)
app.add_typer(evidence_commands.app, name="evidence")
app.command("console")(console_command.console)
app.add_typer(console_command.app, name="user")
app.command("demo")(demo_command.demo)
app.command("city")(city_command.city)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command in this process; its exit status. Raises `HanseError` and usage errors."""
    status = app(args=list(arguments) or ["--help"], prog_name="hanse", standalone_mode=False)
    return status if isinstance(status, int) else 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(_status(sys.argv[1:] if arguments is None else arguments))


def _status(arguments: Sequence[str]) -> int:
    try:
        return invoke(arguments)
    except HanseError as error:
        show_error(error)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        sys.stderr.close()
        return 1
    except OSError as error:  # nothing below has said better what it was about
        show_error(Fault("file.system", f"the system says: {error.strerror or type(error).__name__}",
                         remedy="check the file or address, its permissions and the disk",
                         where=str(error.filename or "")))  # fmt: skip
        return 1
    except Exception as error:
        usage = _usage_error(error)
        if usage is None:
            raise
        return usage


def _usage_error(error: Exception) -> int | None:
    """Show an error of Typer's own; None if it is another. (Its classes moved between versions.)"""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message())
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "hanse"
    show_error(Fault("usage", message(), remedy=f"see '{command} --help'"))
    return int(getattr(error, "exit_code", 2))
