"""``hanse run``: ask a question of the federation, or see its price first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import console, note, say, show, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from hanse.cli.progress import JobWatch

Document = dict[str, Any]
_MOST_KINDS = 12
PAGES = ("journey",)  # computations that have a page: asked before the job runs and spends
KEYS = ("contract", "computation", "epsilon", "recipients", "roster", "parameters")


QuestionFile = Annotated[Path, typer.Argument(help="The question as TOML.", show_default=False)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show price, noise and thresholds; spend nothing.")
]
Out = Annotated[
    Path | None, typer.Option(help="Also write the result to a .parquet, .csv or .json file.")
]
Picture = Annotated[Path | None, typer.Option(help="Also draw the result, to a .svg file.")]
Page = Annotated[Path | None, typer.Option(help="Also write a report, to a .html file (journey).")]

# One command per computation: what it answers, in one line.
VERBS = {
    "funnel": "People per stage at any organisations, in order; rates; exposed against not exposed.",
    "journey": "The cross-scenario report of a campaign, from exposure to loyalty, as tables and one page.",
    "reach": "People reached by several organisations, and how often.",
    "overlap": "Which of up to six crowds people are in.",
    "attribution": "Which touches conversions are credited to.",
    "lift": "What exposure changed: treated against control, with intervals and p-values.",
    "portrait": "Who a crowd is, by the labels of other organisations.",
    "concentration": "Where a target group works, lives and visits, place by place.",
}


def run(
    question: QuestionFile,
    dry_run: DryRun = False,
    out: Out = None,
    picture: Picture = None,
    page: Page = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask a question that a TOML file holds: contract, computation, epsilon, recipients, roster, parameters."""
    _run(read_question(question), dry_run, out, {"svg": picture, "html": page}, node, as_json)


def verb(computation: str) -> Callable[..., None]:
    """The command of one computation: like ``run``, and the question need not name it."""

    def command(
        question: QuestionFile,
        dry_run: DryRun = False,
        out: Out = None,
        picture: Picture = None,
        page: Page = None,
        node: NodeFolder = HERE,
        as_json: AsJson = False,
    ) -> None:
        asked = read_question(question, computation)
        _run(asked, dry_run, out, {"svg": picture, "html": page}, node, as_json)

    command.__doc__ = VERBS[computation]
    return command


def _run(
    asked: Document, dry_run: bool, out: Path | None, wanted: Mapping[str, Path | None], node: Path,
    as_json: bool,
) -> None:  # fmt: skip
    from hanse.cli.export import check_drawing, check_target
    from hanse.errors import Refusal

    if out is not None:
        check_target(out)
    drawings = {form: path for form, path in wanted.items() if path is not None}
    for form, path in drawings.items():
        check_drawing(path, f".{form}")
    if "html" in drawings and asked["computation"] not in PAGES:
        raise Refusal("result.form", f"the result of {asked['computation']!r} has no page",
                      remedy="leave out --page, or write --picture and --out")  # fmt: skip
    if dry_run:
        _preview(node, asked, as_json)
        return
    finish(node, asked, as_json=as_json, out=out, drawings=drawings)


def read_question(path: Path, computation: str = "") -> Document:
    """The question in a TOML file. Raises `Refusal` ``question.malformed`` naming the key.

    With ``computation`` the file may leave it out, and must not name another.
    """
    from hanse.cli.documents import plain_values, read_toml
    from hanse.errors import Refusal

    fields: Document = plain_values(read_toml(path, "the question"))
    if computation and fields.setdefault("computation", computation) != computation:
        raise Refusal("question.malformed", f"the question is a {fields['computation']!r}, not a {computation!r}",
                      remedy=f"use 'hanse run', or 'hanse {fields['computation']}'", where=str(path))  # fmt: skip
    wanted = {
        "contract": (str, "text"), "computation": (str, "text"), "epsilon": (int | float, "a number"),
        "parameters": (dict, "a table"), "recipients": (list, "a list of parties"),
        "roster": (str, "text"),
    }  # fmt: skip
    for key in fields:
        if key not in KEYS:
            raise Refusal("question.malformed", f"the question has the unknown key {key!r}",
                          remedy=f"use {', '.join(KEYS)}; all else belongs into [parameters]",
                          where=str(path))  # fmt: skip
    for key, (kind, words) in wanted.items():
        value = fields.get(key)
        missing = key not in fields and key not in ("recipients", "roster")
        if missing or (key in fields and (not isinstance(value, kind) or isinstance(value, bool))):
            what = "is missing" if missing else f"must be {words}"
            raise Refusal("question.malformed", f"the question's {key} {what}",
                          remedy="the guide shows a complete question", where=str(path))  # fmt: skip
    return fields


def ask(node: Path, question: Document, watch: JobWatch) -> Document:
    """Ask the question and wait: the answer with its disclosure report, time and work, as plain values."""
    from hanse.node.faces import facade

    begun = time.monotonic()
    answer = facade.ask(node, {"verb": "run", "question": question}, watch)
    seconds = time.monotonic() - begun
    with facade.office_of(node) as office:
        stored = office.store.jobs.get(answer["job"])
        report = facade.disclosure(office, stored) if stored is not None else None
    return {**answer, "seconds": round(seconds, 3), "disclosure": report}


def finish(
    node: Path, question: Document, *, as_json: bool, out: Path | None,
    drawings: Mapping[str, Path] | None = None,
) -> None:  # fmt: skip
    """Ask, watch, and print the answer; ``drawings`` maps forms ("svg", "html") to files."""
    from hanse.cli.export import write_result
    from hanse.cli.progress import watched

    with watched(node) as watch:
        answer = ask(node, question, watch)
    if out is not None:
        write_result(out, answer)
    if as_json:
        write_json(answer)
    else:
        show_answer(console(), answer)
    if drawings:  # after the result, which is paid for whatever becomes of its picture
        draw(node, str(answer["job"]), drawings)
    if as_json:
        return
    for path in (*([out] if out is not None else []), *(drawings or {}).values()):
        note(f"Wrote {path}.")


def draw(node: Path, name: str, drawings: Mapping[str, Path]) -> None:
    """Write a job's picture or page."""
    from hanse.cli.export import write_text
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        job = office.job(name)
        for form, path in drawings.items():
            write_text(path, facade.drawn(office, job, form))


def show_answer(screen: Console, answer: Document) -> None:
    """Result, disclosure report, time and bytes."""
    from hanse.cli.report import show_disclosure, show_result, work_line

    if answer["result"] is None:
        screen.print("The result went to its recipients; this node is not one of them.")
    else:
        show_result(screen, answer["result"])
    if answer["recorded"]:
        screen.print(
            f"\nThe same question over the same data was answered before (job {answer['job'][:12]}): "
            "this is the recorded answer, and it cost nothing more."
        )
    report = answer["disclosure"]
    if report is not None:
        screen.print()
        show_disclosure(screen, report)
    line = work_line(
        answer["seconds"], {} if answer["recorded"] or not report else report.get("work", {})
    )
    screen.print(line)


def _preview(node: Path, question: Document, as_json: bool) -> None:
    from hanse.node.faces import facade

    found = facade.ask(node, {"verb": "preview", "question": question})
    if as_json:
        write_json(found)
        return
    noise, limits = found["noise"], found["thresholds"]
    say("A dry run: nothing is asked of partners, nothing is spent.", style="bold")
    say(f"  Price:      epsilon {found['epsilon']:g} to recipients, {found['epsilon_join']:g} to seats, "
        f"charged to {', '.join(found['providers'])}")  # fmt: skip
    say(f"  Result:     {found['outputs']:,} figures, to {', '.join(found['recipients'])}")
    say(f"  Noise:      {_range(noise, '±')} people in 19 of 20 cases")
    say(f"  Shown from: {_range(limits)} people on, noise included (k = {found['k']} and a margin); "
        "what has fewer is suppressed")  # fmt: skip
    if len(found["kinds"]) > 1:
        show(
            ("figures", "of", "noise (19 of 20 cases)", "shown from"),
            [
                (f"{kind['outputs']:,}", "people" if kind["of"] == "people" else "sums, in units of the protocol",
                 f"±{kind['noise']:,.0f}", f"{kind['shown_from']:,} people")
                for kind in found["kinds"][:_MOST_KINDS]
            ],
            right=(0, 2, 3), title="By kind of figure",
        )  # fmt: skip
    if found["similar"]:
        jobs = ", ".join(job[:12] for job in list(found["similar"])[-5:])
        how = list(found["similar"].values())[-1]
        say(f"  Similar:    {len(found['similar'])} questions of this period are almost the same ({jobs}); "
            f"from the last it differs {how}. {found['similar_left']} more are allowed.")  # fmt: skip
    show(
        ("provider", "epsilon after", "of", "to seats after", "of"),
        [
            (provider, f"{a['recipients']:.2f}", f"{a['recipients_budget']:g}", f"{a['seats']:.2f}",
             f"{a['seats_budget']:g}")
            for provider, a in sorted(found["after"].items())
        ],
        right=(1, 2, 3, 4), title="Budgets as they would be, as this node's ledger has them",
    )  # fmt: skip


def _range(values: list[int], sign: str = "") -> str:
    low, high = min(values), max(values)
    return f"{sign}{low:,}" if low == high else f"{sign}{low:,} to {sign}{high:,}"
