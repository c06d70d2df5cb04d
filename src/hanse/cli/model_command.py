"""``hanse model``: train together under a contract, keep this organisation's part, score together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.model_card import show_block, show_card
from hanse.cli.options import HERE, AsJson, NodeFolder, Reason
from hanse.cli.screen import note, say, show, write_json

app = typer.Typer(
    help="Models of several organisations: train, keep one's own part, score.", no_args_is_help=True
)
Document = dict[str, Any]
Model = Annotated[
    str, typer.Argument(help="The model's name, or the job that trained it.", show_default=False)
]
OutFile = Annotated[
    Path, typer.Option("--out", help="A .parquet file for the scores.", show_default=False)
]


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A model of a contract.", show_default=False)],
    contract: Annotated[str, typer.Option(help="The contract, if several have such a model.")] = "",
    holdout: Annotated[
        float | None, typer.Option(help="Share of the ids kept for the metrics.", show_default="0.3")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE",
            help="A setting of the model's kind, such as l2=0.001, iterations=30, trees=50, depth=5.",
        ),
    ] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a model with the other organisations of its contract; this one keeps its own part."""
    from hanse.cli.progress import watched
    from hanse.node.faces import models as models_facade

    settings = settings_of(setting or [])
    if holdout is not None:
        settings["holdout"] = holdout
    with watched(node) as watch:
        answer = models_facade.train(node, model, settings, contract, watch)
    if as_json:
        write_json(answer)
        return
    result = answer.get("result")
    if result is None:
        say(f"Trained {model} (job {answer['job'][:12]}). This organisation is told nothing of it.")
        return
    show_card(result["card"])
    if result["holds_part"]:
        say(f"This organisation's part is kept: hanse model show {model}")


def settings_of(texts: list[str]) -> Document:
    """``KEY=VALUE`` settings as plain values: numbers and true or false are read as such."""
    found: Document = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE, such as l2=0.001")
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value
    return found


@app.command("list")
def list_models(
    allowed: Annotated[
        bool, typer.Option("--allowed", help="Instead: the models that contracts allow.")
    ] = False,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """This organisation's parts of models."""
    from hanse.node.faces import facade
    from hanse.node.faces import models as models_facade

    with facade.office_of(node) as office:
        rows = models_facade.clauses(office) if allowed else models_facade.listed(office)
    if as_json:
        write_json(rows)
        return
    if allowed:
        show(
            ("model", "kind", "contract", "state", "parties", "trained"),
            [(r["model"], r["kind"], r["contract"], r["state"], ", ".join(r["parties"]),
              f"{r['trainings']} of {r['maximum_trainings']}") for r in rows],
            right=(5,), empty="no contract has [[models]] yet",
        )  # fmt: skip
        return
    show(
        ("model", "version", "kind", "state", "made", "expires", "contract", "job"),
        [(r["model"], r["version"], r["kind"], r["state"], r["made"][:16], r["expires"][:10], r["contract"],
          r["training"][:12]) for r in rows],
        right=(1,), empty="no models yet: hanse model list --allowed, hanse model train",
    )  # fmt: skip


@app.command("show")
def show_model(model: Model, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """This organisation's part of a model. Nobody holds the others' parts."""
    from hanse.node.faces import facade
    from hanse.node.faces import models as models_facade

    with facade.office_of(node) as office:
        found = models_facade.shown(office, model)
    if as_json:
        write_json(found)
        return
    show_card(found["card"])
    show_block(found["block"])


@app.command()
def card(model: Model, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """A model's card: data, contract, metrics, what was told to whom, who holds what."""
    from hanse.node.faces import facade
    from hanse.node.faces import models as models_facade

    with facade.office_of(node) as office:
        found = models_facade.shown(office, model)["card"]
    if as_json:
        write_json(found)
    else:
        show_card(found)


@app.command()
def export(
    model: Model,
    file: Annotated[Path, typer.Argument(help="A new .json file.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Write this organisation's own part, signed, to a JSON file."""
    from hanse.cli.documents import write_new
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        document = office.models.exported(model)
    data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    write_new(file, data, "the model's part")
    say(f"Wrote {file}. It scores nothing without the other organisations' parts.")


@app.command()
def audit(model: Model, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Whether this organisation's rows are those that it committed to before the training was signed.

    Reads the registered dataset anew. Exit status 1 if the rows differ: data changed since, or others were used.
    """
    from hanse.node.faces import facade
    from hanse.node.faces import models as models_facade

    with facade.office_of(node) as office:
        found = models_facade.audited(office, model)
    if as_json:
        write_json(found)
    else:
        same = "are" if found["fits"] else "are NOT"
        say(
            f"The rows of {found['dataset']} {same} those that {found['party']} committed to.",
            style="bold",
        )
        say(f"  Signed in job {found['training'][:12]}: {found['signed']}")
        say(f"  Of the rows now:            {found['now']}")
        say("  Compare the first line with a partner's evidence pack (hanse evidence pack).")
    if not found["fits"]:
        raise typer.Exit(1)


@app.command()
def delete(model: Model, reason: Reason, node: NodeFolder = HERE) -> None:
    """Forget this organisation's part, for good: without it nobody can score with the model any more."""
    if not reason.strip():
        raise typer.BadParameter("--reason must say why")
    from hanse.node.faces import facade
    from hanse.node.faces import models as models_facade

    with facade.office_of(node) as office:
        gone = models_facade.delete(office, model, reason)
    say(
        f"Deleted this organisation's part of {gone['model']} (version {gone['version']}). It is in the ledger."
    )


@app.command()
def score(
    model: Model,
    out: OutFile,
    receiver: Annotated[
        str, typer.Option(help="Who receives the scores.", show_default="this organisation")
    ] = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Score every row of the receiver's dataset that all parties of the model have."""
    from hanse.cli.export import check_target
    from hanse.cli.progress import watched
    from hanse.node.faces import models as models_facade

    check_target(out)
    if out.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"{out.name} should end in .parquet")
    with watched(node) as watch:
        answer = models_facade.score(node, model, receiver, out, watch)
    if as_json:
        write_json(answer)
        return
    result = answer.get("result")
    if result is None:
        say("The scores went to their receiver; this organisation is not it.")
        return
    say(f"Wrote {out}: {result['scored']:,} of {result['rows']:,} rows have a score.")
    if result["without_a_score"]:
        note(f"{result['without_a_score']:,} rows have none: not all parties have them.")
    if result["missing_values"]:
        note(
            f"{result['missing_values']:,} rows were left out: columns of the model have no value there."
        )


@app.command("score-one")
def score_one(
    model: Model,
    id_text: Annotated[str, typer.Argument(metavar="ID", help="The row's id.", show_default=False)],
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """The score of one row, in the open or hidden from the other parties, as the contract says."""
    from hanse.node.faces import models as models_facade

    answer = models_facade.score_one(node, model, id_text)
    if as_json:
        write_json(answer)
        return
    result = answer["result"]
    for name, value in (result.get("scores") or {"score": result.get("score")}).items():
        say(f"{name}: {value:.6g}")
    if answer["row_seen_by_others"]:
        note(
            'The other parties of the model saw which row this was: the contract says online = "open-query".'
        )
    else:
        note("The other parties of the model were not told which row this was.")
