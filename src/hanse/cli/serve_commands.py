"""``hanse serve``, ``consumer``, ``webhook`` and ``publish``: results for other systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import note, say, show, write_json

consumers = typer.Typer(help="Systems that may read this node's API.", no_args_is_help=True)
webhooks = typer.Typer(help="Addresses that are told when a product changes.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Its name.", show_default=False)]


def serve(
    node: NodeFolder = HERE,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8470,
    certificate: Annotated[Path | None, typer.Option(help="PEM; with --key, serve TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM of the certificate's key.")] = None,
    no_webhooks: Annotated[
        bool, typer.Option("--no-webhooks", help="Another process of this node delivers them.")
    ] = False,
) -> None:
    """Serve published figures and results to other systems, beside the node, until interrupted."""
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key come together")

    import uvicorn

    from hanse.errors import Fault
    from hanse.node.faces import facade
    from hanse.node.faces.serving import score_one
    from hanse.serving.app import create_app
    from hanse.serving.traces import traced

    if host not in ("127.0.0.1", "::1", "localhost") and certificate is None:
        note("Keys travel in the clear without TLS: give --certificate and --key, or put a proxy in front.",
             style="yellow")  # fmt: skip
    with facade.office_of(node) as office:
        app = traced(
            create_app(
                office.store, webhooks=not no_webhooks, scores=office.desk.folder,
                score_one=lambda model, row: score_one(office, node, model, row),
            )
        )  # fmt: skip
        config = uvicorn.Config(
            app, host=host, port=port, access_log=False, log_level="warning", server_header=False,
            ssl_certfile=str(certificate) if certificate else None, ssl_keyfile=str(key) if key else None,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        try:
            sock = config.bind_socket()
        except SystemExit as error:  # how uvicorn says that the address is taken
            raise Fault("serve.address", f"the API cannot listen on {host}:{port}",
                        remedy="stop what uses the port, or choose another with --port") from error  # fmt: skip
        address = sock.getsockname()
        scheme = "https" if certificate else "http"
        say(
            f"The API of {office.party} listens on {scheme}://{address[0]}:{address[1]} (see /openapi.json)."
        )
        server.run(sockets=[sock])


@consumers.command("add")
def add_consumer(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(help="crowds, results or scores. Repeat.", show_default=False)
    ],
    product: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these products, contracts (of results), models (of scores). Repeat; without it, all."
        ),
    ] = None,
    quota: Annotated[int, typer.Option(min=1, help="Values a day.")] = 1_000_000,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 100.0,
    expires: Annotated[
        str | None, typer.Option(help="The first day on which the key is void.")
    ] = None,
    contract: Annotated[
        str, typer.Option(help="On whose account: a contract's id, for statements.")
    ] = "",
    node: NodeFolder = HERE,
) -> None:
    """Let a system read. Its key is printed once and not kept."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, serving

    document = {
        "name": name, "scopes": scope, "products": product or (), "quota": quota, "rate": rate,
        "expires": expires or "", "contract": contract,
    }  # fmt: skip
    with facade.office_of(node) as office:
        made = serving.add_consumer(office, SystemClock(), document)
    typer.echo(made["key"])
    note(f"The key of {name}; it cannot be shown again. It is void from {expires}." if expires
         else f"The key of {name}; it cannot be shown again.")  # fmt: skip


@consumers.command("list")
def list_consumers(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All consumers, and what they have used today."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        rows = serving.consumers(office, SystemClock())
    if as_json:
        write_json(rows)
        return
    show(
        ("consumer", "state", "may read", "of", "today", "quota", "a second", "until"),
        [
            (r["name"], r["state"], ", ".join(r["scopes"]), ", ".join(r["products"]) or "all",
             f"{r['used_today']:,}", f"{r['quota']:,}", f"{r['rate']:g}", r["expires"] or "")
            for r in rows
        ],
        right=(4, 5, 6), empty="none yet",
    )  # fmt: skip


@consumers.command()
def rekey(name: Name, node: NodeFolder = HERE) -> None:
    """Give a consumer a new key; the old one is void at once."""
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        made = serving.rekey_consumer(office, name)
    typer.echo(made["key"])


@consumers.command()
def revoke(name: Name, node: NodeFolder = HERE) -> None:
    """Void a consumer's key."""
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        serving.revoke_consumer(office, name)
    say(f"Revoked the key of {name}.")


@webhooks.command("add")
def add_webhook(
    name: Name,
    consumer: Annotated[str, typer.Option(help="On whose account.", show_default=False)],
    product: Annotated[str, typer.Option(help="The product to tell about.", show_default=False)],
    url: Annotated[str, typer.Option(help="https://...", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Tell an address of every change of a product from now on. The secret is printed once."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        made = serving.add_webhook(office, SystemClock(), name, consumer, product, url)
    typer.echo(made["secret"])
    note("The secret with which deliveries are signed (header Hanse-Signature).")


@webhooks.command("list")
def list_webhooks(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All webhooks, and how far each has been told."""
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        rows = serving.webhooks(office)
    if as_json:
        write_json(rows)
        return
    show(
        ("webhook", "consumer", "product", "address", "told up to", "failed tries", "problem"),
        [(r["name"], r["consumer"], r["product"], r["url"], r["sent"], r["tries"], r["problem"]) for r in rows],
        right=(4, 5), empty="none yet",
    )  # fmt: skip


@webhooks.command("remove")
def remove_webhook(name: Name, node: NodeFolder = HERE) -> None:
    """Forget a webhook."""
    from hanse.node.faces import facade, serving

    with facade.office_of(node) as office:
        serving.remove_webhook(office, name)
    say(f"Removed {name}.")


def publish(
    file: Annotated[
        Path,
        typer.Argument(help="Parquet or CSV: place, date, value, and low, high, confidence, reason.",
                       show_default=False),
    ],
    product: Annotated[str, typer.Option(help="The product's name.", show_default=False)],
    title: Annotated[str, typer.Option(help="What it is, in words.")] = "",
    unit: Annotated[str, typer.Option(help="What is counted.", show_default="people a day")] = "",
    contract: Annotated[str, typer.Option(help="The contract it comes from.")] = "",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The figures are made up.")] = False,
    node: NodeFolder = HERE,
) -> None:  # fmt: skip
    """Publish figures per place and day. Figures that changed become new versions; nothing is rewritten."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, products
    from hanse.node.products.publishing import read_figures

    figures = read_figures(file)
    about = {"title": title, "unit": unit, "contract": contract, "synthetic": synthetic}
    with facade.office_of(node) as office:
        told = products.publish(office, SystemClock(), product, about, figures)
    say(
        f"Published {told['changed']:,} of {told['figures']:,} figures of {product}; the others were known."
    )
