"""The pictures of the console's guide, taken anew: ``python tests/console/pictures.py`` writes docs/guide/pictures.

Everybody and every figure in them is made up.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]

from chromium import browser, signed_in  # noqa: E402
from console_house import AGREED, PRODUCT, furnish, furnish_contributions  # noqa: E402
from console_results import seed  # noqa: E402
from console_stage import bench, new_node  # noqa: E402

from hanse.console import Settings  # noqa: E402

PICTURES = HERE.parents[1] / "docs" / "guide" / "pictures"
SIZE = {"width": 1120, "height": 760}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = new_node(Path(folder) / "media-house", organisation="A media company (demo)")
        jobs = seed(home, ("funnel", "overlap", "lift", "portrait", "town"))
        furnish(home, planted="")
        furnish_contributions(home)
        with bench(home, settings=Settings(port=0)) as made, browser() as chromium:
            made.console.start()
            for name, role, where, more in (
                ("home", "analyst", "/", {}),
                ("funnel", "analyst", f"/jobs/{jobs['funnel']}", {}),
                ("overlap-dark", "analyst", f"/jobs/{jobs['overlap']}", {"color_scheme": "dark"}),
                ("map", "analyst", f"/jobs/{jobs['town']}", {}),
                ("contract-chinese", "legal", "/contracts/rehearsal-funnel", {"locale": "zh-CN"}),
                ("product", "analyst", f"/products/{PRODUCT}?place=store-03", {}),
                ("value", "manager", f"/value?contract={AGREED}&from=2026-11-01&to=2026-11-30", {}),
                ("contributions-chinese", "manager", "/value#adds", {"locale": "zh-CN"}),
                ("evidence-chinese", "legal", "/evidence", {"locale": "zh-CN"}),
                ("phone", "analyst", f"/jobs/{jobs['portrait']}", {"viewport": {"width": 390, "height": 760}}),
            ):  # fmt: skip
                with signed_in(
                    chromium, made.console.url, role, **{"viewport": SIZE, **more}
                ) as page:
                    page.go(where)
                    page.page.wait_for_timeout(600)
                    path = PICTURES / f"console-{name}.png"
                    page.page.screenshot(path=path)
                    _smaller(path)
            made.console.stop()


def _smaller(path: Path) -> None:
    """A third of the bytes, where Pillow is installed."""
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(96)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
