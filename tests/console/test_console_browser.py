"""The console in a real Chromium: no complaints, no serious finding of axe, a question from form to picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import browser, signed_in
from console_results import seed
from console_stage import Bench, bench, new_node
from running_stage import CONTRACT, Stage, stage

from hanse import menu
from hanse.console import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}
PAGES = {
    "analyst": ("/", "/ask", "/ask?contract=rehearsal-funnel", "/ask/text", "/jobs", "/standing",
                "/power?treated=200000&control=50000&share=2&lift=0.3", "/data", "/budget", "/partners",
                "/disclosures",
                *(f"/ask?contract=rehearsal-funnel&computation={name}" for name in menu.MENU)),
    "legal": ("/contracts", "/contracts/rehearsal-funnel", "/contracts/rehearsal-funnel/document",
              "/contracts/new?template=campaign", "/ledger/verification"),
    "admin": ("/users", "/account", "/account/codes"),
    "data-owner": ("/data",),
    "operator": ("/", "/partners", "/health"),
}  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, dict[str, str]]]:
    folder = new_node(tmp_path_factory.mktemp("shown") / "node")
    jobs = seed(folder, (*menu.MENU, "town"))
    with bench(folder, settings=Settings(port=0)) as made:
        made.console.start()
        yield made, jobs
        made.console.stop()


@pytest.mark.parametrize("role", PAGES)
@pytest.mark.parametrize(
    "how",
    [{}, {"locale": "zh-CN"}, {"color_scheme": "dark"}, PHONE],
    ids=["plain", "chinese", "dark", "phone"],
)
def test_pages_are_sound(
    chromium: Any, shown: tuple[Bench, dict[str, str]], role: str, how: dict[str, Any]
) -> None:
    with signed_in(chromium, shown[0].console.url, role, **how) as page:
        for path in PAGES[role]:
            page.go(path)
            page.check()


@pytest.mark.parametrize(
    "how", [{}, {"color_scheme": "dark"}, PHONE], ids=["plain", "dark", "phone"]
)
def test_every_result_has_its_picture(
    chromium: Any, shown: tuple[Bench, dict[str, str]], how: dict[str, Any]
) -> None:
    with signed_in(chromium, shown[0].console.url, "analyst", **how) as page:
        for name, job in shown[1].items():
            page.go(f"/jobs/{job}")
            page.page.wait_for_selector("#charts canvas")
            page.check()
            # Something is drawn: more than one colour.
            colours = page.page.evaluate(
                """() => { const c = document.querySelector('#charts canvas');
                const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
                const s = new Set(); for (let i = 0; i < d.length; i += 4 * 97) s.add(d.slice(i, i + 4).join());
                return s.size; }"""
            )
            assert colours > 3, name
            assert page.page.locator("#charts [role=img]").first.get_attribute("aria-label")
        page.go(f"/jobs/{shown[1]['journey']}/page.html")
        assert not page.problems


def test_what_a_partner_planted_does_not_run(
    chromium: Any, shown: tuple[Bench, dict[str, str]]
) -> None:
    with signed_in(chromium, shown[0].console.url, "legal") as page:
        said: list[str] = []
        page.page.on("dialog", lambda d: (said.append(d.message), d.dismiss()))
        page.go("/contracts?search=<img src=x onerror=alert(1)>")
        page.go("/")
        assert "<b>bold</b>" in page.page.inner_text("body")
        assert not said


def test_the_keyboard_finds_its_way(chromium: Any, shown: tuple[Bench, dict[str, str]]) -> None:
    with signed_in(chromium, shown[0].console.url, "analyst") as page:
        page.go("/jobs")
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.className") == "skip"
        page.page.keyboard.press("Enter")
        assert page.page.url.endswith("#main")
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_pages_work_without_scripts(chromium: Any, shown: tuple[Bench, dict[str, str]]) -> None:
    with signed_in(chromium, shown[0].console.url, "analyst", java_script_enabled=True) as page:
        state = page.page.context.storage_state()
    held = chromium.new_context(java_script_enabled=False, storage_state=state)
    plain = held.new_page()
    plain.goto(f"{shown[0].console.url}/jobs/{shown[1]['funnel']}")
    assert plain.locator("noscript img.picture").count() == 1
    assert plain.locator("text=Disclosure report").count()
    held.close()


# --- a question, from the form to the picture, at a running federation --------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Bench]]:
    with (
        stage(tmp_path_factory.mktemp("federation")) as nodes,
        bench(nodes.media, settings=Settings(port=0)) as made,
    ):
        made.console.start()
        yield nodes, made
        made.console.stop()


@pytest.mark.parametrize(
    ("locale", "ask", "report"),
    [("en", "Ask it", "Disclosure report"), ("zh-CN", "提问", "披露报告")],
)
def test_an_analyst_asks_and_looks_at_the_picture(
    chromium: Any, running: tuple[Stage, Bench], locale: str, ask: str, report: str
) -> None:
    with signed_in(chromium, running[1].console.url, "analyst", locale=locale) as page:
        view = page.page
        view.click("main a[href='/ask']")
        view.select_option("#contract", CONTRACT)
        view.click("main form button")
        view.click("a[href*='computation=funnel']")
        view.select_option("#stage-0", "exposures")
        view.select_option("#stage-1", "purchases")
        view.fill("#epsilon", "2" if locale == "en" else "3")
        view.fill("#starts", "2026-01-01")
        view.fill("#ends", "2026-03-01")
        page.check()
        view.click("main form button.first")
        view.wait_for_selector("#cost")
        page.check()
        view.click(f"#cost ~ form button:has-text('{ask}')")
        view.wait_for_selector("#charts canvas", timeout=60_000)
        assert report in view.inner_text("main")
        page.check()
        assert "/jobs/" in view.url


def test_a_lawyer_reads_reviews_and_signs(chromium: Any, running: tuple[Stage, Bench]) -> None:
    _, made = running
    office = made.console.desk.office
    from hanse.node.faces import contracts

    text = contracts.text(office, CONTRACT).replace("version = 1", "version = 2")
    contracts.draft(office, text.replace("maximum_jobs = 50", "maximum_jobs = 70"))
    with signed_in(chromium, made.console.url, "legal") as page:
        view = page.page
        view.click(f"a[href='/contracts/{CONTRACT}']")
        page.check()
        view.click("a[href$='/changes']")
        assert "70" in view.locator("ins").all_inner_texts()
        page.check()
        view.go_back()
        view.click("summary:has-text('Write a review')")
        view.check("input[value=approve]")
        view.click("form[action$='/review'] button")
        assert "may be signed" in view.inner_text("#reviews ~ div")
        view.check("input[name=read]")
        view.click("form[action$='/sign'] button")
        assert contracts.contract(office, CONTRACT)["mine"]
        page.check()
