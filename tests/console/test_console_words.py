"""Two languages: no key lacks one, no page lacks a key, no word is left over; contracts say all their terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from console_house import PARTIES, valued
from console_results import seed
from console_stage import Bench, bench, new_node

from hanse import menu
from hanse.clock import SystemClock
from hanse.console import forms
from hanse.console.clauses import clauses
from hanse.console.matrix import REVIEW_ROLES, ROLES
from hanse.console.wording import LANGUAGES, Words, catalogue, chosen
from hanse.contracts import TRUST, describe
from hanse.node.faces import facade
from hanse.node.faces.contracts import STATES, TEMPLATES
from hanse.node.faces.results import JOB_STATES
from hanse.node.identity.keys import load_identity

_TEMPLATES = Path(str(files("hanse.console"))) / "templates"
_CODE = Path(str(files("hanse.console")))
_CALL = re.compile(r"""\bt(?:\.has)?\(\s*'([a-z0-9_.-]+)'\s*[,)]""")
_PYTHON = re.compile(r"""\bt\(\s*"([a-z0-9_.-]+)"\s*[,)]""")
_GROUP = re.compile(r"""\bt\.of\(\s*['"]([a-z_]+)['"]""")
_MADE = re.compile(r"""\bt\(\s*f"([a-z_.-]+)\.\{""")
_PREFIX = re.compile(r"""\bt(?:\.has)?\(\s*'([a-z0-9_.-]+\.)' ~""")
_PAGES = ("/", "/health", "/partners", "/data", "/contracts", "/contracts/new", "/jobs", "/ask", "/ask/text",
          "/standing",
          "/power?treated=1000&control=900&share=3&lift=1", "/budget", "/ledger", "/ledger/verification",
          "/disclosures", "/users", "/account", "/account/codes", "/nowhere")  # fmt: skip


def templates() -> list[str]:
    return [path.read_text() for path in sorted(_TEMPLATES.rglob("*.html"))]


def used() -> tuple[set[str], set[str]]:
    """(keys, groups) that pages and code ask for."""
    python = "\n".join(p.read_text() for p in sorted(_CODE.rglob("*.py")))
    text = "\n".join(templates())
    keys = set(_CALL.findall(text)) | set(_PYTHON.findall(python))
    groups = set(_GROUP.findall(text)) | set(_GROUP.findall(python))
    groups |= set(_MADE.findall(python))
    groups |= {p.rstrip(".") for p in _PREFIX.findall(text)}
    return keys, groups


def test_no_key_lacks_a_language_and_all_take_the_same_facts() -> None:
    english, *others = (catalogue(language) for language in LANGUAGES)
    assert len(english) > 500
    for other in others:
        assert set(english) == set(other)
        for key in english:
            facts = re.compile(r"\{([a-z]+)\}")
            assert sorted(facts.findall(english[key])) == sorted(facts.findall(other[key])), key
            assert other[key].strip(), key


def test_chinese_words_are_chinese() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    same = {k for k in english if english[k] == chinese[k]}
    assert same <= {"chart.tgi"}, same
    han = [k for k in chinese if re.search("[\u4e00-\u9fff]", chinese[k])]
    assert len(han) > 0.97 * len(chinese)


def test_every_word_that_a_page_asks_for_is_there_and_no_word_is_left_over() -> None:
    keys, groups = used()
    words = set(catalogue("en"))
    assert not keys - words
    for group in groups:
        assert any(w.startswith(f"{group}.") for w in words), group
    left = {w for w in words - keys if not any(w.startswith(f"{g}.") for g in groups)}
    assert not left


def test_values_of_ours_have_words() -> None:
    words = Words("zh")
    for group, values in (
        ("role", ROLES), ("department", REVIEW_ROLES),
        ("state", (*STATES, *JOB_STATES, "asking", "fresh", "active", "off")),
        ("computation", menu.MENU), ("computation_help", menu.MENU),
    ):  # fmt: skip
        for value in values:
            assert words.has(f"{group}.{value}"), (group, value)
    offer = forms.Offer()
    for name in menu.MENU:
        for field in forms.fields_of(name, offer):
            assert words.has(f"field.{field.key}"), field.key
    for field in ("starts", "ends"):
        assert words.has(f"field.{field}")
    assert set(TEMPLATES) >= {"campaign", "funnel"}


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("", "fr, de;q=0.5", "en"), ("", "fr;q=0.9, zh;q=0.1", "zh"),
     ("zh", "en", "zh"), ("en", "zh", "en"), ("<script>", "", "en")],
)  # fmt: skip
def test_the_language_is_the_chosen_one_else_the_browser_s(
    cookie: str, accepted: str, language: str
) -> None:
    assert chosen(cookie, accepted) == language


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, dict[str, str]]]:
    folder = new_node(tmp_path_factory.mktemp("words") / "node")
    jobs = seed(folder, ("funnel", "overlap"))
    with bench(folder) as made:
        yield made, jobs


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_there_in_both_languages(
    stage: tuple[Bench, dict[str, str]], language: str
) -> None:
    made, jobs = stage
    pages = [*_PAGES, "/contracts/rehearsal-funnel", "/contracts/rehearsal-funnel/document",
             "/contracts/rehearsal-funnel/changes", "/ask?contract=rehearsal-funnel"]  # fmt: skip
    pages += [f"/ask?contract=rehearsal-funnel&computation={name}" for name in menu.MENU]
    pages += [f"/jobs/{job}" for job in jobs.values()] + [
        f"/jobs/{job}/disclosure" for job in jobs.values()
    ]
    seen = set()
    for role in ("analyst", "legal", "operator", "admin", "data-owner"):
        browser = made.browser(role)
        for path in pages:
            answer = browser.get(path, headers={"accept-language": language})
            assert answer.status_code in (200, 403, 404), (path, answer.text[:500])
            if answer.status_code == 200:
                seen.add(path)
                tag = "zh-Hans" if language == "zh" else "en"
                assert f'<html lang="{tag}"' in answer.text
                assert "{{" not in answer.text
    assert set(pages) - seen <= {"/nowhere"}


def test_a_choice_of_language_stays(stage: tuple[Bench, dict[str, str]]) -> None:
    browser = stage[0].browser("analyst")
    assert browser.get("/look?language=zh&back=/jobs").headers["location"] == "/jobs"
    assert "任务" in browser.get("/jobs").text
    browser.get("/look?language=xx&look=dark&back=/")
    page = browser.get("/jobs").text
    assert "任务" in page
    assert 'data-look="dark"' in page


def test_a_contract_s_page_says_every_term_also_ones_that_it_does_not_know(
    stage: tuple[Bench, dict[str, str]],
) -> None:
    office = stage[0].console.desk.office
    stored = office.store.contracts.get("rehearsal-funnel")
    assert stored is not None
    terms = stored.bundle["contract"]

    def text(language: str, terms: dict[str, object]) -> str:
        sections = clauses(terms, Words(language), "media", TRUST)
        return "\n".join(t for s in sections for c in s.clauses for t in (c.text, *c.items))

    for language in LANGUAGES:
        said = text(language, terms)
        for dataset in terms["datasets"]:
            assert f"{dataset['capacity']:,}" in said
            assert dataset["name"] in said
            for column in dataset["columns"]:
                assert column["name"] in said
        for party in terms["parties"]:
            assert party["organisation"] in said
        assert str(terms["privacy"]["k"]) in said
        more = {**terms, "penalty": {"sum": 5000}, "join": {**terms["join"], "rotate": "weekly"}}
        assert "penalty.sum: 5000" in text(language, more)
        assert "rotate: weekly" in text(language, more)
        assert "penalty" not in said
    from hanse.node.office import bundle_of

    assert TRUST in text("en", terms)
    assert TRUST in describe(bundle_of(stored).contract)


def test_models_and_prices_are_said_in_sentences(tmp_path: Path) -> None:
    cards = {}
    for party in PARTIES:
        facade.create_node(tmp_path / party, party, f"The {party}", None)
        cards[party] = load_identity(tmp_path / party, clock=SystemClock()).card
    terms = valued(cards).fields()
    for language in LANGUAGES:
        sections = {s.key: s for s in clauses(terms, Words(language), "media-house", TRUST)}
        assert "further" not in sections  # nothing is left to be shown as it stands
        (model,) = sections["models"].clauses
        said = "\n".join((model.text, *model.items))
        for wanted in (
            "buyers.bought",
            "visits",
            "12",
            "500",
            "90",
            "Made-up forms.",
            "The retail-chain",
        ):
            assert wanted in said, (language, wanted)
        assert model.mine
        (price,) = sections["prices"].clauses
        assert "CNY 9000" in price.items[0]
        changed = {**terms, "models": [{**terms["models"][0], "colour": "red"}]}
        assert "further" in {s.key for s in clauses(changed, Words(language), "x", TRUST)}
