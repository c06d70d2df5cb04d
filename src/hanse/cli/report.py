"""A job's result and its disclosure report, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hanse.cli.screen import plain, size, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Document = dict[str, Any]
_BAR = 20
SUPPRESSED = "suppressed"
_WIDE = 100  # columns from which on there is room for bars


# --- the result -------------------------------------------------------------------------------------


def show_result(screen: Console, result: Document) -> None:
    """The tables of a result, and what it says in words; a funnel with its bars."""
    if result.get("computation") != "funnel":
        _show_tables(screen, result)
        return
    rows = result["rows"]
    reasons = list(dict.fromkeys(r["suppressed"] for r in rows if r["suppressed"]))
    bars = screen.width >= _WIDE
    for arm in dict.fromkeys(r["arm"] for r in rows):
        title = "" if arm == "all" else f"People {plain(arm)}"
        screen.print(_funnel(title, [r for r in rows if r["arm"] == arm], reasons, bars=bars))
    screen.print(
        "In brackets: 95 % intervals, which hold the noise and, for rates, chance as in a sample."
    )
    if any(r["segment"] == "unknown" for r in rows):
        screen.print("unknown: people of whom the segment's provider knows nothing.")
    for mark, reason in enumerate(reasons, start=1):
        screen.print(f"({mark}) suppressed: {plain(reason)}.")


def _show_tables(screen: Console, result: Document) -> None:
    from rich.text import Text

    for shown in result.get("tables", []):
        cells = [
            [Text(plain(c), style="yellow") if c == SUPPRESSED else c for c in row]
            for row in shown["rows"]
        ]
        screen.print(table(shown["heads"], cells, title=shown["title"], right=shown["right"]))
    for line in result.get("notes", []):
        screen.print(f"- {plain(line)}", soft_wrap=True)
    if "tables" not in result:
        screen.print_json(data=result)


def _funnel(title: str, rows: list[Document], reasons: list[str], *, bars: bool) -> RenderableType:
    from rich.text import Text

    cells: list[list[str | Text]] = []
    segment, most = "", 0
    named = {row["segment"] for row in rows} != {"all"}
    for row in rows:
        if row["segment"] != segment:
            segment, most = row["segment"], row["people"] or 0
            if named:
                words = "everybody" if segment == "all" else segment
                cells.append([Text(plain(words), style="bold"), "", "", "", ""])
        share = min(1.0, (row["people"] or 0) / most) if most else 0.0
        bar = Text("█" * max(1, round(_BAR * share)) if row["people"] else "", style="cyan")
        cells.append([("  " if named else "") + row["stage"], *_figures(row, reasons), bar])
    heads = ("stage", "people", "of the one before", "of the first", "")
    width = len(heads) if bars else len(heads) - 1
    return table(heads[:width], [c[:width] for c in cells], title=title, right=(1, 2, 3))


def _figures(row: Document, reasons: list[str]) -> list[str | Text]:
    from rich.text import Text

    if row["people"] is None:
        mark = reasons.index(row["suppressed"]) + 1
        return [Text(f"suppressed ({mark})", style="yellow"), "", ""]
    return [
        f"{row['people']:,} ({row['low']:,.0f}–{row['high']:,.0f})",
        _rate(row["rate"], row["rate_low"], row["rate_high"]),
        _rate(row["overall"], row["overall_low"], row["overall_high"]),
    ]


def _rate(rate: float | None, low: float | None, high: float | None) -> str:
    if rate is None or low is None or high is None:
        return ""
    return f"{rate:.1%} ({100 * low:.1f}–{100 * high:.1f})"


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
    screen.print(
        f"  Every seat: how many rows were declared ({declared}), how wide they are, and timings."
    )
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
    screen.print(
        "  No seat could see anybody's id, event, segment or path, nor which rows belong together to whom."
    )


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
