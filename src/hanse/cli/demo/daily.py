"""The daily demo: three owners of street counters train together, tell two weeks of mornings, are judged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from hanse.cli.demo.command import Story

if TYPE_CHECKING:
    from hanse.cli.demo.streets import Streets

LAST = date(2025, 12, 23)  # the last morning's yesterday: Christmas is among the days ahead
MORNINGS = 14
JUDGED = date(2025, 12, 31)  # by then the last counts have come
LEAST_P30 = 0.8  # below which the demo is wrong: far under what these counters allow
Document = dict[str, Any]


@dataclass
class DailyStory(Story):
    """What happens, in order, and how it is shown."""

    def tell(self, kept: bool) -> None:
        """The whole demo. Raises `Fault` ``demo.check`` if the figures are not as good as they must be."""
        from hanse.cli.demo import streets
        from hanse.cli.demo.daily_documents import OWNERS

        data = streets.read(len(OWNERS))  # without data there is no need to begin
        self.introduce()
        with self.timed("three nodes and their data"):
            self.settle(data)
        with self.timed("the contract"):
            self.agree_on()
        with self.timed("the training"):
            self.train()
        with self.timed(f"{MORNINGS} mornings"):
            self.mornings(data)
        with self.timed("the scoreboard"):
            board = self.judge(data)
        with self.timed("the console"):
            self.in_the_console(board)
        self.end_with(kept)

    # --- the chapters ---------------------------------------------------------------------------

    def introduce(self) -> None:
        from hanse.cli.demo.daily_documents import OWNERS
        from hanse.cli.demo.streets import LABEL
        from hanse.cli.screen import table

        self.screen.print("Three owners of street counters tell together how many people pass each, every day. "
                          "No count leaves its owner.", style="bold")  # fmt: skip
        self.screen.print(f"Data: {LABEL}.")
        rows = [(o.organisation, o.name, o.gives, f"seat {o.seat}") for o in OWNERS]
        self.screen.print(table(("organisation", "node", "has", "computes"), rows))

    def settle(self, data: Streets) -> None:
        """Nodes, partners, data, the list of places; linked."""
        from hanse.cli.demo.daily_documents import OWNERS, dataset
        from hanse.cli.demo.federation import Federation
        from hanse.cli.demo.streets import write_counts, write_places
        from hanse.node.faces import facade

        self.chapter("1  Three nodes: own keys, own store, own data, one process each")
        federation = self.federation = Federation(self.folder, self.command, organisations=OWNERS)
        federation.found()
        with self.busy("The kernels are compiled, or loaded from an earlier time."):
            facade.warm_up()
        federation.start()
        with self.busy("Each owner's hours are written into its own data folder, as Parquet."):
            write_places(data, [o.name for o in OWNERS], self.folder / "counters.parquet")
            members = federation.all()
            rows = write_counts(
                data, {n: m.data / f"{m.about.dataset}.parquet" for n, m in enumerate(members)}
            )
        for member in members:
            (member.folder / "counts.toml").write_text(dataset(member.about))
            federation.do(member, "places", "add", str(self.folder / "counters.parquet"))
            federation.do(member, "dataset", "add", str(member.folder / "counts.toml"))
        told = ", ".join(f"{rows[n]:,} hours at {m.name}" for n, m in enumerate(members))
        self.screen.print(f"  Registered at home, nowhere else: {told}.")
        with self.busy(
            "The three processes link up in pairs, over mutual TLS with pinned certificates."
        ):
            federation.wait()

    def agree_on(self) -> None:
        from datetime import UTC, datetime

        from hanse.cli.demo.daily_documents import ASKING, CONTRACT, contract
        from hanse.node.faces import facade

        federation = self.members()
        self.chapter("2  One contract, signed by all three")
        asking = federation.members[ASKING.name]
        with facade.office_of(asking.folder) as office:
            (held,) = office.shelf.all()
        draft = asking.folder / "contract.toml"
        draft.write_text(contract(datetime.now(UTC).date(), held.places, held.digest))
        federation.do(asking, "contract", "draft", str(draft))
        federation.do(asking, "contract", "push", CONTRACT)
        for member in federation.all():
            federation.do(member, "contract", "sign", CONTRACT)
            federation.do(member, "contract", "push", CONTRACT)
        self.screen.print(
            "  It allows one thing: to learn a common rhythm from sums over all three, and to tell each other\n"
            "  a number, an interval and a confidence for every counter. Counts come a week late."
        )

    def train(self) -> None:
        from hanse.cli.demo.daily_documents import ASKING, CROWD
        from hanse.cli.progress import JobWatch
        from hanse.node.faces import crowd_days, facade

        self.chapter("3  Training, from two years of hours")
        ends = LAST - timedelta(days=MORNINGS)
        node = self.members().members[ASKING.name].folder
        self.screen.print(
            f"  $ hanse crowd-days train {CROWD} --ends {ends} --node {ASKING.name}",
            style="bright_black",
        )
        with JobWatch(self.screen, quiet=0.3 if self.animated else float("inf")) as watch:
            answer = crowd_days.train(node, CROWD, ends, watch=watch)
        result = answer["result"]
        self.screen.print(
            f"  {ASKING.organisation} learned from its {result['places']} counters, and from sums over all three.\n"
            "  What its checks found in its own hours, and it alone is told:"
        )
        for line in result["findings"][:3]:
            self.screen.print(f"    {line}", style="bright_black")
        with facade.office_of(node) as office:
            stored = office.store.jobs.get(answer["job"])
            report = {} if stored is None else facade.disclosure(office, stored)
        for one in report.get("openings", ()):
            self.screen.print(f"  Opened to {', '.join(one['to'])}: {one['what']}.")

    def mornings(self, data: Streets) -> None:
        from hanse.cli.demo.daily_documents import ASKING, CROWD, DAYS_AHEAD
        from hanse.cli.screen import table
        from hanse.node.faces import crowd_days, facade

        self.chapter(f"4  {MORNINGS} mornings: yesterday, and the {DAYS_AHEAD} days ahead")
        node = self.members().members[ASKING.name].folder
        answer: Document = {}
        with self.busy(f"Every morning from {LAST - timedelta(days=MORNINGS - 2)} on, all three nodes tell the day "
                       "before with what was known by then."):  # fmt: skip
            for back in range(MORNINGS - 1, -1, -1):
                ends = LAST - timedelta(days=back)
                answer = crowd_days.day(node, CROWD, ends)
                self.command(f"hanse crowd-days day {CROWD} --ends {ends} --node {ASKING.name}")
        for line in answer["result"]["said"]:
            self.screen.print(f"  {line}")
        christmas = LAST + timedelta(days=2)
        with facade.office_of(node) as office:
            rows = {str(day): crowd_days.figures(office, CROWD, day) for day in (LAST, christmas)}
        told = {day: {row["place"]: row for row in found} for day, found in rows.items()}
        names = dict(zip(data.ids, data.names, strict=True))
        shown = [(names[p], _figure(row), _figure(told[str(christmas)][p]), row["regime"])
                 for p, row in list(told[str(LAST)].items())[::3]]  # fmt: skip
        self.screen.print(f"\n  Every third counter, as told on {LAST + timedelta(days=1)}:")
        self.screen.print(table(("counter", f"yesterday, {LAST}", f"Christmas, {christmas}", "rests on"), shown,
                                right=(1, 2)))  # fmt: skip

    def judge(self, data: Streets) -> dict[str, Any]:
        """Each owner's scoreboard by its own counts, and all figures against all counts, which only a demo has."""
        from hanse.cli.demo.daily_documents import ASKING, CROWD, OWNERS
        from hanse.cli.screen import table
        from hanse.errors import Fault
        from hanse.node.faces import crowd_day_pictures, crowd_days, facade

        federation = self.members()
        self.chapter("5  How good it was, once the counts had come")
        rows, boards = [], {}
        for owner in OWNERS:
            member = federation.members[owner.name]
            picture = member.folder / "scores.svg"
            with facade.office_of(member.folder) as office:
                board, drawn = crowd_day_pictures.scoreboard_of(office, CROWD, JUDGED)
            picture.write_text(drawn.svg, encoding="utf-8")
            whole = boards[owner.name] = board.scores.whole
            rows.append((owner.organisation, f"{whole.days:,}", _percent(whole.p30), _percent(whole.p30_published),
                         _percent(whole.published_share), _percent(whole.coverage)))  # fmt: skip
        self.command(f"hanse crowd-days scoreboard {CROWD} --ends {JUDGED} --svg {ASKING.name}/scores.svg "
                     f"--node {ASKING.name}")  # fmt: skip
        columns = (
            "owner, by its own counts",
            "counter days",
            "P30",
            "P30, published",
            "published",
            "in interval",
        )
        self.screen.print(table(columns, rows, right=(1, 2, 3, 4, 5)))
        truth, near, total = data.daily(), 0, 0
        with facade.office_of(federation.members[ASKING.name].folder) as office:
            for back in range(MORNINGS):
                day = LAST - timedelta(days=back)
                for row in crowd_days.figures(office, CROWD, day):
                    true = truth.get((row["place"], str(day)), 0.0)
                    if row["value"] is not None and true > 0:
                        total += 1
                        near += abs(row["value"] - true) <= 0.3 * true
        p30 = near / max(total, 1)
        if total < 100 or p30 < LEAST_P30:
            raise Fault("demo.check", f"{p30:.1%} of {total} published numbers are within 30 % of the counts",
                        remedy="report it as a defect, with the folder")  # fmt: skip
        self.screen.print(
            f"All {total} published numbers against all counts, which only this demo has: "
            f"{p30:.1%} are within 30 %.",
            style="bold green",
        )
        for member in federation.all():
            federation.do(member, "ledger", "verify")
        self.screen.print(
            "  The ledgers of all three nodes hold: unbroken, each signed with its node's key."
        )
        return boards

    def in_the_console(self, boards: dict[str, Any]) -> None:
        from hanse.cli.demo import pages
        from hanse.cli.demo.daily_documents import ASKING, CROWD

        node = self.members().members[ASKING.name].folder
        self.chapter("6  The same in the console")
        figure = f"{100 * boards[ASKING.name].p30_published:.1f}"
        with pages.shown(node) as shown:
            path = f"/crowd-days/{CROWD}/scoreboard?ends={JUDGED}"
            address = pages.read(node, shown.url, path, figure)
            self.screen.print(
                f"The console of {ASKING.organisation} shows its scoreboard, with a P30 of {figure} %."
            )
            self.command(f"hanse console --node {node}")
            self.look_around(shown.password, address, "three")

    def end_with(self, kept: bool) -> None:
        from hanse.cli.demo.daily_documents import ASKING, CROWD
        from hanse.cli.screen import size

        total = time.monotonic() - self.begun
        parts = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self.times.items())
        self.screen.print(f"\n{total:.1f} s in all: {parts}. The three nodes sent "
                          f"{size(self.members().bytes_sent())}.")  # fmt: skip
        if not kept:
            self.screen.print(
                "The folder is removed now; 'hanse demo --daily --keep' leaves it for you to look at."
            )
            return
        node = self.members().members[ASKING.name].folder
        self.screen.print(
            f"\nEverything is kept in {self.folder}. The nodes stop now. Try:", style="bold"
        )
        for line in (
            f"export HANSE_NODE={node}",
            f"hanse crowd-days show {CROWD} --on {LAST}",
            f"hanse crowd-days map {CROWD} --on {LAST} --svg map.svg",
            f"hanse crowd-days series {CROWD} 205-queen-street --ends {LAST} --svg series.svg",
        ):
            self.screen.print(f"  {line}", soft_wrap=True)


def _figure(row: Document) -> str:
    if row["value"] is None:
        return "withheld"
    return f"{row['value']:,.0f} ({row['low']:,.0f}–{row['high']:,.0f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
