"""A real Chromium for the tests, installed if it is missing and can be, and pages that remember what went wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from console_stage import WORD

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
_SERIOUS = ("serious", "critical")


def program() -> str:
    """Where Chromium is; skips, with the reason, where it is not and cannot be installed."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), "")
    if not found and shutil.which("apt-get") and os.getuid() == 0:
        install = ["apt-get", "install", "-y", "-q", "chromium"]
        subprocess.run(install, check=False, capture_output=True, timeout=600)  # noqa: S603
        found = shutil.which("chromium") or ""
    if not found:
        pytest.skip("Chromium is not installed and cannot be installed here")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield made
        made.close()


@dataclass
class Page:
    """A page of somebody who is signed in; ``problems`` is what its console complained of."""

    page: Any
    url: str
    problems: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")

    def check(self) -> None:
        """No complaints, nothing that axe calls serious, nothing wider than the screen."""
        assert not self.problems, (self.page.url, self.problems)
        self.page.evaluate(_AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        bad = [
            (v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:3]])
            for v in found["violations"]
            if v["impact"] in _SERIOUS
        ]
        assert not bad, (self.page.url, bad)
        wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, (self.page.url, wider)


@contextmanager
def signed_in(chromium: Any, url: str, role: str, **context: Any) -> Iterator[Page]:
    """A page in which somebody with this role has signed in."""
    held = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    made = Page(held.new_page(), url)
    made.page.on(
        "console",
        lambda m: made.problems.append(m.text) if m.type in ("error", "warning") else None,
    )
    made.page.on("pageerror", lambda e: made.problems.append(str(e)))
    made.go("/sign-in")
    made.check()
    made.page.fill("#name", f"the-{role}")
    made.page.fill("#password", WORD)
    made.page.click("button.first")
    made.page.wait_for_url(url + "/")
    try:
        yield made
    finally:
        held.close()
