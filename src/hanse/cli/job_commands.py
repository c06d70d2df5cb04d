"""``hanse job``: what this node asked for and took part in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder, Reason
from hanse.cli.screen import console, moment, say, show, show_error, write_json

if TYPE_CHECKING:
    from hanse.node.storage.jobs import Job

app = typer.Typer(help="Jobs that this node asked for or took part in.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The job, or how its name begins.", show_default=False)]


@app.command("list")
def list_jobs(
    node: NodeFolder = HERE,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
) -> None:
    """Jobs at this node, newest first."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        rows = [_row(job) for job in office.store.jobs.all(limit=limit)]
    if as_json:
        write_json(rows)
        return
    show(
        ("job", "state", "computation", "contract", "asked by", "attempt", "began (UTC)", "took"),
        [
            (r["job"][:12], r["state"], r["computation"], r["contract"], r["asked_by"], r["attempt"],
             moment(r["created"]), "" if r["seconds"] is None else f"{r['seconds']:.1f} s")
            for r in rows
        ],
        right=(5, 7), empty="no jobs yet",
    )  # fmt: skip


def _row(job: Job) -> dict[str, Any]:
    return {
        "job": job.job,
        "attempt": job.attempt,
        "state": job.state,
        "computation": job.request["computation"],
        "contract": job.request["contract_id"],
        "asked_by": job.request["analyst"],
        "epsilon": job.request["epsilon"],
        "created": job.created.isoformat(),
        "seconds": (job.finished - job.created).total_seconds() if job.finished else None,
        "error": job.error,
    }


@app.command("show")
def show_job(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """A job: its state, its result if this node received it, and its disclosure report."""
    from hanse.cli.report import show_disclosure, show_result, work_line
    from hanse.errors import from_public
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        job = office.job(name)
        report = facade.disclosure(office, job)
    row = _row(job)
    result = (job.result or {}).get("result")
    if as_json:
        write_json({**row, "request": job.request, "result": result, "disclosure": report})
        return
    say(f"Job {job.job}, attempt {job.attempt}: {job.state}", style="bold")
    say(
        f"  {row['computation']} under {row['contract']}, asked by {row['asked_by']} at {moment(job.created)} UTC"
    )
    say(f"  Results to {', '.join(job.request['recipients'])}; epsilon {row['epsilon']:g}")
    if job.error is not None:
        show_error(from_public(job.error))
    screen = console()
    if result is not None:
        show_result(screen, result)
    if report["openings"]:
        screen.print()
        show_disclosure(screen, report)
    line = work_line(row["seconds"], report.get("work", {}))
    if line:
        screen.print(line)


@app.command("draw")
def draw_job(
    name: Name,
    to: Annotated[
        Path, typer.Argument(help="The file to write, .svg or .html.", show_default=False)
    ],
    node: NodeFolder = HERE,
) -> None:
    """A finished job's result as a picture (.svg) or, for a report, a page (.html)."""
    from hanse.cli.export import check_drawing
    from hanse.cli.run_command import draw

    form = "html" if to.suffix.lower() == ".html" else "svg"
    check_drawing(to, f".{form}")
    draw(node, name, {form: to})
    say(f"Wrote {to}.")


@app.command("log")
def log(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """What this node wrote down while the job ran."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        job = office.job(name)
        lines = office.store.jobs.lines(job.job, job.attempt)
    if as_json:
        write_json(
            [{"at": x.at.isoformat(), "level": x.level, "message": x.message} for x in lines]
        )
        return
    for line in lines:
        say(f"{moment(line.at)}  {line.level:<7}  {line.message}")


@app.command()
def cancel(
    name: Name, reason: Reason = "cancelled by its operator", node: NodeFolder = HERE
) -> None:
    """End a running job at all its nodes."""
    from hanse.node.faces import facade

    answer = facade.ask(node, {"verb": "cancel", "job": name, "reason": reason})
    say(f"Cancelled job {answer['job'][:12]}.")


@app.command()
def rerun(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """Ask the same question again, as the next attempt. If it was answered, the recorded answer comes."""
    from hanse.cli.run_command import finish
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        request = office.job(name).request
    question = {
        "contract": request["contract_id"],
        "computation": request["computation"],
        "parameters": request["parameters"],
        "epsilon": request["epsilon"],
        "recipients": request["recipients"],
        "attempt": request["attempt"] + 1,
        "roster": request.get("roster", ""),
    }
    finish(node, question, as_json=as_json, out=None)
