"""Pages of an evidence pack: one file each, no script, nothing loaded, prints well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, "Noto Sans SC", sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #8886; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
code { overflow-wrap: anywhere; } pre { white-space: pre-wrap; }
td { overflow-wrap: anywhere; } .aid { border: 1px solid #b60; padding: .6rem 1rem; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


class Page:
    """A page that is written from top to bottom; every text is escaped."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A section begins."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def warning(self, text: str) -> None:
        """A paragraph that must not be overlooked."""
        self._parts.append(f'<p class="aid" role="note">{escape(text)}</p>')

    def verbatim(self, text: str) -> None:
        """Text with its line breaks."""
        self._parts.append(f"<pre>{escape(text)}</pre>")

    def table(
        self, heads: Sequence[str], rows: Iterable[Sequence[object]], caption: str = ""
    ) -> None:
        """A table; an empty one says so."""
        said = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        body = body or f'<tr><td colspan="{len(heads)}">none</td></tr>'
        shown = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f"<table>{shown}<thead><tr>{said}</tr></thead><tbody>{body}</tbody></table>"
        )

    def html(self) -> bytes:
        """The whole page."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{_STYLE}</style></head>"
            f"<body><main>{''.join(self._parts)}</main></body></html>\n"
        ).encode()
