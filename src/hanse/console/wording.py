"""The console's words, by key, in English and Simplified Chinese: ``words/en.toml`` and ``words/zh.toml``.

Errors come from the rooms below in English; those that people meet most have a sentence here too, by their code;
all others are said in the reader's language by `errors_said`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from hanse.console.errors_said import error_in, said

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "简体中文"}
USUAL = "en"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """All words of a language by dotted key. KeyError for a language that is not there."""
    if language not in LANGUAGES:
        raise KeyError(language)
    text = files("hanse.console").joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    found: dict[str, str] = {}

    def walk(table: Mapping[str, object], path: str) -> None:
        for key, value in table.items():
            at = f"{path}.{key}" if path else key
            if isinstance(value, Mapping):
                walk(value, at)
            else:
                found[at] = str(value)

    walk(tomllib.loads(text), "")
    return found


class Words:
    """One language's words; ``words("jobs.of", count=3)`` fills in what is in braces."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else USUAL
        self._found = catalogue(self.language)

    def __call__(self, key: str, **facts: object) -> str:
        text = self._found[key]
        return text.format(**facts) if facts else text

    def has(self, key: str) -> bool:
        """Whether there is such a word."""
        return key in self._found

    def of(self, group: str, name: object) -> str:
        """The word for a value of ours (a state, a role); the value itself if there is none."""
        return self._found.get(f"{group}.{name}", str(name))

    def said(self, text: str) -> str:
        """A text of the rooms below in this language, where it is one of those that are known."""
        return said(text, self.language)

    def error(self, error: Mapping[str, str]) -> Mapping[str, str]:
        """An error's public fields in this language, as far as they are known."""
        return error_in(error, self.language)


def chosen(cookie: str, accepted: str) -> str:
    """The language: as chosen, else the first that the browser accepts and we have, else English."""
    if cookie in LANGUAGES:
        return cookie
    for part in accepted.split(","):
        tag = part.partition(";")[0].strip().lower()[:2]
        if tag in LANGUAGES:
            return tag
    return USUAL
