"""``hanse console``: the node's console for people; ``hanse user``: who may use it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import moment, note, say, show, write_json

if TYPE_CHECKING:
    from hanse.node.faces.users import User, UserDesk

app = typer.Typer(help="People who may use the console.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The name to sign in with.", show_default=False)]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", help="analyst, data-owner, legal, risk, operator, manager, auditor or admin; may be repeated."
    ),
]  # fmt: skip
COMMAND_LINE = "command line"  # who did it, in the ledger: whoever holds the node's folder


def console(
    node: Annotated[
        Path,
        typer.Option("--node", "--folder", envvar="HANSE_NODE", metavar="FOLDER", help="The node's folder.",
                     show_default="this folder"),
    ] = HERE,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes any that is free.")] = 7480,
    certificate: Annotated[
        Path | None, typer.Option(help="Its TLS certificate (PEM).", show_default="no TLS, only at home")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy in front ends TLS.")] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name by which browsers reach it; may be repeated.")
    ] = None,
) -> None:  # fmt: skip
    """Serve the console of a node, beside the node's own process, until Ctrl-C."""
    from hanse.cli.node_log import start_log
    from hanse.console import Settings, serving
    from hanse.node.faces import facade

    settings = Settings(host, port, certificate, key, behind_proxy, tuple(name or ()))
    start_log(facade.configuration(node).log_level)
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    with serving(node, settings) as served:
        if not served.desk.users.all():
            note("Nobody may use it yet: hanse user add NAME --role admin", style="yellow")
        say(f"The console of {served.desk.organisation} is at {served.url}")
        while not leaving.wait(0.5):
            pass


@app.command()
def add(
    name: Name,
    department: Annotated[str, typer.Option(help="The user's department.", show_default=False)],
    role: Roles = None,
    shown: Annotated[str, typer.Option(help="The user's full name.", show_default="the name")] = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Add a user, and print the password to hand over; it must be changed at the first sign-in."""
    with _desk(node) as users:
        user, password = users.add(name, shown or name, department, role or [], COMMAND_LINE)
    if as_json:
        write_json({**_row(user), "password": password})
        return
    say(f"Added {user.name} of {user.department}: {', '.join(user.roles)}.")
    _say_password(password)


@app.command("list")
def list_users(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Everybody, by department."""
    from hanse.node.faces import facade
    from hanse.node.faces.users import linked, user_desk

    with facade.office_of(node) as office:
        elsewhere = linked(office)
        rows = [
            {**_row(user), "provider": user.name in elsewhere} for user in user_desk(office).all()
        ]
    if as_json:
        write_json(rows)
        return
    show(
        ("department", "user", "name", "roles", "state", "codes", "provider", "since (UTC)"),
        [
            (r["department"], r["name"], r["shown"], ", ".join(r["roles"]), r["state"],
             "yes" if r["codes"] else "no", "yes" if r["provider"] else "no", moment(r["created"]))
            for r in rows
        ],
        empty="no users yet",
    )  # fmt: skip


@app.command("role")
def change(
    name: Name,
    role: Roles = None,
    department: Annotated[str | None, typer.Option(help="Another department.")] = None,
    off: Annotated[bool | None, typer.Option("--off/--on", help="Switch off, or on again.")] = None,
    node: NodeFolder = HERE,
) -> None:
    """Give a user other roles (all of them anew), another department, or switch it off or on."""
    if role is None and department is None and off is None:
        raise typer.BadParameter("give --role, --department, --off or --on")
    with _desk(node) as users:
        user = users.change(name, by=COMMAND_LINE, roles=role, department=department, off=off)
    say(f"{user.name} of {user.department}: {', '.join(user.roles)}; {user.state}.")


@app.command()
def reset(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Make a new password, take off codes and lock-outs, and end all sessions of a user."""
    with _desk(node) as users:
        password = users.reset(name, COMMAND_LINE)
    if as_json:
        write_json({"name": name, "password": password})
        return
    say(f"{name} has a new password and must change it at the first sign-in.")
    _say_password(password)


@app.command()
def link(
    name: Name,
    subject: Annotated[
        str, typer.Argument(help="Who that is at the sign-on provider: the claim 'sub'.", show_default=False)
    ],
    node: NodeFolder = HERE,
) -> None:  # fmt: skip
    """Let a user sign in at the provider of [console.oidc] in hanse.toml."""
    from hanse.node.faces import facade
    from hanse.node.faces.users import link_user

    with facade.office_of(node) as office:
        link_user(office, node, name, subject, COMMAND_LINE)
    say(f"{name} may sign in at the provider.")


@app.command()
def unlink(name: Name, node: NodeFolder = HERE) -> None:
    """Take a user's account at the sign-on provider off, and end the user's sessions."""
    from hanse.node.faces import facade
    from hanse.node.faces.users import unlink_user

    with facade.office_of(node) as office:
        unlink_user(office, name, COMMAND_LINE)
    say(f"{name} may not sign in at the provider any more.")


@contextmanager
def _desk(node: Path) -> Iterator[UserDesk]:
    from hanse.node.faces import facade
    from hanse.node.faces.users import user_desk

    with facade.office_of(node) as office:
        yield user_desk(office)


def _row(user: User) -> dict[str, Any]:
    return {"name": user.name, "shown": user.shown, "department": user.department,
            "roles": list(user.roles), "state": user.state, "codes": user.has_code,
            "created": user.created.isoformat()}  # fmt: skip


def _say_password(password: str) -> None:
    say(f"  Password, shown once: {password}")
    note("Hand it over in person or by telephone.")
