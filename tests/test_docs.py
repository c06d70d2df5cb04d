"""The documentation is run: Python blocks of the README and of the guides, in order, one file at a time.

A block ```` ```text output ```` shows what the block before it prints. It is compared with figures left out, since
noise and times differ from run to run; every word must be right. Bash blocks are not run.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its info words, its first line's number in the page, its text."""

    info: str
    line: int
    text: str


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start(3)) + 1
        found.append(Block(" ".join(match[2].split()), line, match[3]))
    return found


def run(page: str, name: str) -> None:
    """Run a page's Python blocks in one namespace; compare what they print where the page says so."""
    namespace: dict[str, Any] = {"__name__": "documentation"}
    printed = ""
    for block in blocks_of(page):
        if block.info == "python":
            output = io.StringIO()
            # Blank lines in front, so that a traceback shows the page's own line numbers.
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            with contextlib.redirect_stdout(output):
                exec(code, namespace)  # noqa: S102 - our own documentation
            printed = output.getvalue()
        elif block.info == "text output":
            assert words(printed) == words(block.text), f"{name}:{block.line} prints something else"


def words(text: str) -> list[str]:
    """A text's words, with every figure as #, without empty lines and layout."""
    masked = re.sub(r"\d[\d,.]*(e-\d+)?", "#", text)
    return masked.split()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not path.exists():
        pytest.skip(f"{path.name} is not written yet")
    monkeypatch.chdir(tmp_path)
    run(path.read_text(encoding="utf-8"), path.name)


# --- the runner itself ----------------------------------------------------------------------------


def test_blocks_share_names_and_a_failing_one_is_found() -> None:
    page = "```python\nx = 2\n```\n\n```bash\nfalse\n```\n```python\nassert x == {}\n```\n"
    run(page.format(2), "page")
    with pytest.raises(AssertionError):
        run(page.format(3), "page")


def test_printed_words_are_compared_and_figures_are_not() -> None:
    page = "```python\nprint('people  1,553 of 2.0')\n```\n```text output\n{}\n```\n"
    run(page.format("people 1,498 of 1.5"), "page")
    with pytest.raises(AssertionError, match="page:5"):
        run(page.format("persons 1,498 of 1.5"), "page")


def test_a_traceback_names_the_line_of_the_page() -> None:
    page = "# Title\n\n```python\nx = 1\n1 / 0\n```\n"
    with pytest.raises(ZeroDivisionError) as error:
        run(page, "page")
    assert error.traceback[-1].lineno + 1 == 5
