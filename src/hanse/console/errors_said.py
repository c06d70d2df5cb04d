"""Errors of the rooms below in the reader's language: texts are matched with templates, what is put in is kept.

``words/errors.zh.toml`` has, by code, the English of each message and remedy with ``{1}``, ``{2}`` for what is put
in, and the same in Chinese. The text that fits the most letters of a template is said in Chinese; a part that is a
text of its own ("at shop: ...") is too. What no template fits stays in English, with its code beside it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SLOT = re.compile(r"\{(\d+)\}")
_PROBLEMS = re.compile(r"(?s)(.*?)(?:has )?(one problem|\d+ problems): (.*)")
_NEXT_PROBLEM = re.compile(r"; (?=[A-Za-z_][\w.\[\]-]*: |and \d+ more)")
_PATH = re.compile(r"(?s)([A-Za-z_][\w.\[\]-]*): (.*)")
_LONGEST = 4000
_DEEP = 3


@dataclass(frozen=True)
class _Template:
    """``given`` are the letters around the slots, ``slots`` their numbers: given, slot, given, slot, given."""

    given: tuple[str, ...]
    slots: tuple[str, ...]
    said: str

    @property
    def letters(self) -> int:
        """How many are given: the more, the surer the match."""
        return sum(map(len, self.given))

    def match(self, text: str) -> dict[str, str] | None:
        """What is in the slots, or None. It looks at every letter once, whatever a partner wrote."""
        first, *middle = self.given
        last = middle.pop() if middle else ""
        if not middle and not self.slots:
            return {} if text == first else None
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        found: dict[str, str] = {}
        place = len(first)
        for slot, given in zip(self.slots, [*middle, None], strict=True):
            stop = end if given is None else text.find(given, place, end)
            if stop < 0 or found.setdefault(slot, text[place:stop]) != text[place:stop]:
                return None
            place = stop + len(given or "")
        return found


@cache
def templates(language: str) -> Mapping[str, Mapping[str, str]]:
    """By code: English to the language's own; nothing for a language that the texts are written in."""
    try:
        text = (
            files("hanse.console")
            .joinpath("words", f"errors.{language}.toml")
            .read_text(encoding="utf-8")
        )
    except FileNotFoundError:
        return {}
    found: dict[str, dict[str, str]] = tomllib.loads(text)
    return found


def said(text: str, language: str) -> str:
    """A message or remedy in the language; as it is, where no template fits it."""
    if not text or len(text) > _LONGEST or not templates(language):
        return text
    return _said(text, language, 0) or text


def error_in(error: Mapping[str, str], language: str) -> dict[str, str]:
    """An error's public fields with message and remedy in the language."""
    return {
        **error,
        "message": said(error.get("message", ""), language),
        "remedy": said(error.get("remedy", ""), language),
        "where": _where(error.get("where", ""), language),
    }


def _said(text: str, language: str, depth: int) -> str:
    listed = _problems(text, language, depth)
    if listed:
        return listed
    for one in _ordered(language):
        found = one.match(text)
        if found is not None:
            parts = {n: _part(value, language, depth) for n, value in found.items()}
            return _filled(one.said, parts)
    return ""


def _filled(template: str, parts: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda slot: parts[slot[1]], template)


def _part(text: str, language: str, depth: int) -> str:
    """What is put in: names and figures as they are, a text of ours in the language."""
    if depth >= _DEEP or " " not in text:
        return text
    return _said(text, language, depth + 1) or text


def _problems(text: str, language: str, depth: int) -> str:
    """``the contract has 2 problems: starts: is missing; add it; ...``, each in the language; "" if it is none."""
    match = _PROBLEMS.fullmatch(text)
    if match is None or depth >= _DEEP:
        return ""
    what, count, rest = match.groups()
    lines = []
    for line in _NEXT_PROBLEM.split(rest):
        at = _PATH.fullmatch(line)
        path, sentence = at.groups() if at is not None else ("", line)
        own = _said(sentence, language, depth + 1) or sentence
        lines.append(f"{path}：{own}" if path else own)
    number = count.removesuffix(" problems").replace("one problem", "1")
    name = _what(language).get(what.strip(), what.strip())
    return f"{name}有 {number} 处问题：" + "；".join(lines)


def _where(text: str, language: str) -> str:
    """``contract spring, models[churn].scores``: its first word in the language."""
    kind, space, rest = text.partition(" ")
    own = templates(language).get("places", {}).get(kind)
    return text if own is None or not space else f"{own} {rest}"


@cache
def _what(language: str) -> Mapping[str, str]:
    return templates(language).get("documents", {})


@cache
def _ordered(language: str) -> tuple[_Template, ...]:
    """The surest first."""
    found: dict[str, str] = {}
    for code, texts in templates(language).items():
        if code not in ("documents", "places"):
            found.update(texts)
    made = [_template(english, own) for english, own in found.items()]
    return tuple(sorted(made, key=lambda t: (-t.letters, t.said)))


def _template(english: str, own: str) -> _Template:
    parts = _SLOT.split(english)  # letters and numbers in turn
    return _Template(tuple(parts[::2]), tuple(parts[1::2]), own)
