"""What the commands print: results on standard output, errors and news on standard error.

Text that came from outside (names, titles, errors of partners) is printed as text: no markup, no control
characters that could move the cursor or hide a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanse.errors import HanseError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPED_WIDTH = 120  # tables in a pipe or a file; a terminal has its own width


def console(*, error: bool = False) -> Console:
    """A console on standard output or standard error, as these are now."""
    from rich.console import Console

    made = Console(stderr=error, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _PIPED_WIDTH
    return made


def plain(text: object) -> str:
    """``text`` without control characters; line breaks stay."""
    return "".join(c for c in str(text) if c == "\n" or (c.isprintable()))


def say(text: str = "", style: str = "") -> None:
    """A line of the result."""
    console().print(plain(text), style=style or None, soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """A line beside the result, on standard error."""
    console(error=True).print(plain(text), style=style or None, soft_wrap=True)


def write_json(value: Any) -> None:
    """The result for machines."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_error(error: HanseError) -> None:
    """The one message with which a command fails."""
    from rich.text import Text

    text = Text()
    text.append("error ", style="bold red")
    text.append(f"[{plain(error.code)}] ", style="red")
    text.append(plain(error.message), style="red")
    if error.where:
        text.append(f"\n  at:         {plain(error.where)}")
    if error.remedy:
        text.append(f"\n  to mend it: {plain(error.remedy)}")
    console(error=True).print(text, soft_wrap=True)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    right: Sequence[int] = (),
    caption: str = "",
) -> Table:
    """A table; columns in ``right`` are numbers. Cells are text or Rich `Text`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=SIMPLE_HEAD, title=Text(plain(title), style="bold") if title else None,
        title_justify="left", caption=plain(caption) or None, caption_justify="left", pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for number, head in enumerate(heads):
        if number in right:
            # Where a table is too wide its widest columns wrap: a figure is never cut off.
            made.add_column(head, justify="right", overflow="fold")
        else:
            made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*(c if isinstance(c, Text) else Text(plain(c)) for c in row))
    return made


def show(
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    right: Sequence[int] = (),
    empty: str = "nothing yet",
) -> None:
    """Print a table, or a word in its place."""
    listed = list(rows)
    if not listed:
        say(f"{title + ': ' if title else ''}{empty}")
        return
    console().print(table(heads, listed, title=title, right=right))


def moment(at: datetime | str | None) -> str:
    """A time in UTC to the second."""
    if at is None:
        return ""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return at.strftime("%Y-%m-%d %H:%M:%S")


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
