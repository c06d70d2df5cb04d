"""Errors in Chinese: every code that people of the console can meet; no part of a text is lost."""

from __future__ import annotations

import re
from functools import cache

import pytest
from console_codes import Site, sites

from hanse.console.errors_said import error_in, said, templates
from hanse.console.wording import Words
from hanse.errors import Refusal

# What an action in the console can end in, at this node or at a partner's.
ROOMS = ("node/", "contracts/", "gate/", "catalog/", "ledger/", "measure/", "places/", "learn/jobs/",
         "learn/scoring/", "learn/linear/", "align/", "console/", "evidence/", "menu.py",
         "problems.py")  # fmt: skip
# Not from a console: commands of whoever holds the node's folder, the start of the console itself, what runs on
# people's own devices, back-tests.
ELSEWHERE = ("places/backtest/", "places/city/", "places/home/", "node/backup.py", "node/value/holders.py",
             "console/console.py", "console/area.py", "console/settings.py", "evidence/verifier.py")  # fmt: skip
_SLOT = re.compile(r"\{(\d+)\}")
_HAN = re.compile("[\u4e00-\u9fff]")


@cache
def reachable() -> list[Site]:
    return [s for s in sites(ROOMS) if not s.at.startswith(ELSEWHERE)]


def known() -> dict[str, str]:
    found: dict[str, str] = {}
    for code, texts in templates("zh").items():
        if code not in ("documents", "places"):
            found |= texts
    return found


def filled(text: str) -> tuple[str, list[str]]:
    """A template with something in each slot that occurs nowhere else, and what that is."""
    numbers = sorted(set(_SLOT.findall(text)), key=int)
    values = {n: f"<{chr(64 + int(n))}>" for n in numbers}
    return _SLOT.sub(lambda slot: values[slot[1]], text), list(values.values())


def test_every_code_has_a_chinese_text() -> None:
    texts = known()
    lacking: dict[str, set[str]] = {}
    covered: set[str] = set()
    for site in reachable():
        for code in site.codes:
            covered |= {code for m in site.messages if m in texts}
            lacking.setdefault(code, set()).update(m for m in site.messages if m not in texts)
    assert len(lacking) > 380
    assert not {code: sorted(m) for code, m in lacking.items() if m}
    assert not {c for s in reachable() if s.messages for c in s.codes} - covered


def test_every_remedy_has_a_chinese_text() -> None:
    texts = known()
    lacking = {s.at: r for s in reachable() for r in s.remedies if r not in texts}
    assert not lacking


def test_nothing_that_is_put_into_a_text_is_lost_and_each_finds_its_own() -> None:
    for english, chinese in known().items():
        assert sorted(set(_SLOT.findall(english))) == sorted(set(_SLOT.findall(chinese))), english
        text, values = filled(english)
        found = said(text, "zh")
        assert all(value in found for value in values), english
        if not re.fullmatch(r"(\{\d\}|\W)*", english) and len(_SLOT.sub("", english)) > 12:
            assert found == filled_like(chinese, english), english


def filled_like(chinese: str, english: str) -> str:
    numbers = sorted(set(_SLOT.findall(english)), key=int)
    values = {n: f"<{chr(64 + int(n))}>" for n in numbers}
    return _SLOT.sub(lambda slot: values[slot[1]], chinese)


def test_the_texts_are_chinese() -> None:
    bare = {e for e, c in known().items() if not _HAN.search(c)}
    assert not bare


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("'bank <b>' is not a party to the contract", "'bank <b>' 不是合约的一方"),
        ("at shop: the budget of job abc was never reserved", "在 shop 处：任务 abc 的预算从未预留"),
        ("the contract has 2 problems: expires: must be later than starts; datasets[x].slots: is missing; add it",
         "合约有 2 处问题：expires：必须晚于 starts；datasets[x].slots：缺失；请添加"),
        ("the question has one problem: l3: is not a known key; did you mean 'l2'?",
         "问题有 1 处问题：l3：不是已知的键；是否指 'l2'？"),
        ("a sentence that no template fits", "a sentence that no template fits"),
        ("", ""),
    ],
)  # fmt: skip
def test_texts_in_chinese(text: str, chinese: str) -> None:
    assert said(text, "zh") == chinese
    assert said(text, "en") == text


def test_a_text_made_to_be_slow_is_not() -> None:
    """What a partner puts into a message cannot hold up a page."""
    text = "the contract has 9 problems: " + "; ".join(["a: b c d e f"] * 400)
    assert said(text[:3900], "zh")
    assert said("x" * 5000, "zh") == "x" * 5000


def test_an_error_keeps_its_code_and_where_is_said() -> None:
    error = Refusal("model.trainings", "all 5 trainings of 'churn' are used",
                    remedy="agree on a larger maximum_trainings",
                    where="contract spring, models[churn].maximum_trainings")  # fmt: skip
    found = error_in(error.public(), "zh")
    assert found["message"] == "'churn' 的 5 次训练均已用完"
    assert found["remedy"] == "请约定更大的 maximum_trainings"
    assert found["where"] == "合约 spring, models[churn].maximum_trainings"
    assert found["code"] == "model.trainings"
    assert Words("en").error(error.public()) == error.public()
