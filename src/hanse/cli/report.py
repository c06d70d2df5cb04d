"""A job's result and its disclosure report, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hanse.cli.screen import plain, size, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Document = dict[str, Any]
_BAR = 14


# --- the result -------------------------------------------------------------------------------------


def show_result(screen: Console, result: Document) -> None:
    """The tables of a result; those that this version cannot draw are printed as JSON."""
    if result.get("computation") != "funnel":
        screen.print_json(data=result)
        return
    rows = result["rows"]
    reasons = list(dict.fromkeys(r["suppressed"] for r in rows if r["suppressed"]))
    for arm in dict.fromkeys(r["arm"] for r in rows):
        title = "" if arm == "all" else f"People {plain(arm)}"
        screen.print(_funnel(title, [r for r in rows if r["arm"] == arm], reasons))
    screen.print("People and rates with 95 % intervals; rates also vary by chance, as samples do.")
    for mark, reason in enumerate(reasons, start=1):
        screen.print(f"({mark}) suppressed: {plain(reason)}")


def _funnel(title: str, rows: list[Document], reasons: list[str]) -> RenderableType:
    cells = []
    before, most = "", 0
    for row in rows:
        new = row["segment"] != before
        if new:
            most = row["people"] or 0
            if before:
                cells.append([""] * 7)
        before = row["segment"]
        label = ("everybody" if before == "all" else before) if new else ""
        cells.append([label, row["stage"], *_figures(row, most, reasons)])
    heads = ("segment", "stage", "people", "interval", "", "of the stage before", "of the first")
    return table(heads, cells, title=title, right=(2, 3, 5, 6))


def _figures(row: Document, most: int, reasons: list[str]) -> list[str | Text]:
    from rich.text import Text

    if row["people"] is None:
        mark = reasons.index(row["suppressed"]) + 1
        return [Text(f"suppressed ({mark})", style="yellow"), "", "", "", ""]
    share = min(1.0, row["people"] / most) if most else 0.0
    bar = Text("█" * max(1, round(_BAR * share)) if most else "", style="cyan")
    return [
        f"{row['people']:,}",
        f"{row['low']:,.0f}–{row['high']:,.0f}",
        bar,
        _rate(row["rate"], row["rate_low"], row["rate_high"]),
        _rate(row["overall"], row["overall_low"], row["overall_high"]),
    ]


def _rate(rate: float | None, low: float | None, high: float | None) -> str:
    if rate is None or low is None or high is None:
        return ""
    return f"{rate:.1%} ({low:.1%}–{high:.1%})"


# --- the disclosure report --------------------------------------------------------------------------


def show_disclosure(screen: Console, report: Document) -> None:
    """What was opened and to whom, what each seat could see, what it cost and what is left."""
    if not report["openings"]:
        screen.print(
            "This node has no record of the job's openings: it held no seat, gave no data and "
            "received no result. The seats and providers have."
        )
        return
    screen.print(
        table(
            ("opened", "to", "values", "epsilon", "delta"),
            [
                (o["what"], ", ".join(o["to"]), f"{o['values']:,}", _epsilon(o["epsilon"]),
                 f"{o['delta']:.0e}" if o["delta"] else "")
                for o in report["openings"]
            ],
            right=(2, 3, 4), title=f"Disclosure report of job {report['job'][:12]}",
        )
    )  # fmt: skip
    _show_seats(screen, report)
    show_accounts(screen, report.get("accounts", []), spent=bool(report.get("spent", True)))


def _epsilon(value: float) -> str:
    return f"{value:g}" if value else ""


def _show_seats(screen: Console, report: Document) -> None:
    if not report["seats"]:
        return
    declared = ", ".join(f"{count:,} of {party}" for party, count in report["rows"].items())
    screen.print("What each seat could see", style="bold")
    screen.print(f"  Every seat: how many rows were declared ({declared}), how wide they are, and timings.")
    seen = [o for o in report["openings"] if o["seen"] and "seats" in o["to"]]
    for opening in seen:
        screen.print(
            f"  Every seat: {len(opening['seen'])} counts of anonymous entries that providers have in common, "
            f"noise included (epsilon {opening['epsilon']:g}, delta {opening['delta']:.0e} per person):"
        )
        for who, count in opening["seen"].items():
            screen.print(f"    {count:>9,}  {plain(who)}")
    for seat in report["seats"]:
        extra = []
        if seat["own_data"]:
            extra.append(f"its own data ({', '.join(seat['own_data'])})")
        if seat["receives_result"]:
            extra.append("the result, which it receives")
        also = f": also {' and '.join(extra)}" if extra else ": nothing else"
        screen.print(f"  Seat {seat['seat']}, {plain(seat['party'])}{also}.")
    screen.print("  No seat could see anybody's id, event, segment or path, nor which rows belong together to whom.")


def show_accounts(screen: Console, accounts: Iterable[Document], *, spent: bool = True) -> None:
    """Privacy budgets by provider."""
    title = "Privacy budget, as this node's ledger has it"
    screen.print(
        table(
            ("provider", "queries", "epsilon spent", "left", "of", "to seats", "left", "of"),
            [
                (a["provider"], a["queries"], f"{a['spent']:.2f}", f"{a['left']:.2f}", f"{a['budget']:g}",
                 f"{a['seats_spent']:.2f}", f"{a['seats_left']:.2f}", f"{a['seats_budget']:g}")
                for a in accounts
            ],
            right=(1, 2, 3, 4, 5, 6, 7), title=title if spent else f"{title} (this job spent nothing)",
        )
    )  # fmt: skip


def work_line(seconds: float | None, work: Document) -> str:
    """Time and bytes in one line."""
    took = f"Took {seconds:.1f} s. " if seconds is not None else ""
    if not work:
        return took.strip()
    return (
        f"{took}This node as seat {work['number']} sent {size(work['bytes'])} to other seats "
        f"in {work['rounds']:,} rounds."
    )
