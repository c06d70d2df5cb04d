"""What is wrong with a document, in words: every problem by its key, and how to mend it.

Documents (contracts, datasets, configurations, questions, requests) are read by validating models. The validator's
own sentences speak of its types; `sentences` says the same of the document, and never repeats a value that it read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from hanse.errors import Fault, Refusal

_MOST_READ = 500  # of a document from elsewhere: looking for what a key may have meant takes time
MAX_PROBLEMS_SHOWN = 40
LONGEST_KEY = 64  # characters of a key that is shown: a partner's document may have any
REMEDY = "correct the keys named above; a document with any problem is not used at all"
Problem = tuple[str, str]  # the key's path, and a sentence that goes on from it

_KINDS = {
    "string": "text", "bytes": "text", "path": "a path, as text", "int": "a whole number", "float": "a number",
    "decimal": "a number", "bool": "true or false", "list": "a list", "tuple": "a list", "set": "a list",
    "dict": "a table of keys and values", "mapping": "a table of keys and values",
    "model": "a table of keys and values", "date": "a day like 2026-03-31",
    "datetime": "a time like 2026-03-31T12:00:00Z", "time": "a time of day like 12:00",
    "byte": 'a size, such as "8 GiB"',
}  # fmt: skip
_KIND = re.compile(
    f"({'|'.join(_KINDS)})_(type|parsing|parsing_size|attributes_type|object_invalid|size|size_unit|from_.*)"
)
_BOUNDS = {
    "greater_than": ("must be more than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
    "string_too_short": ("must have {} or more characters", "min_length"),
    "string_too_long": ("must have {} or fewer characters", "max_length"),
    "too_short": ("must have {} or more entries", "min_length"),
    "too_long": ("must have {} or fewer entries", "max_length"),
    "literal_error": ("must be {}", "expected"),
    "enum": ("must be {}", "expected"),
    "union_tag_invalid": ("must be one of {}", "expected_tags"),
}
_OTHER = {
    "missing": "is missing; add it",
    "finite_number": "must be a finite number",
    "none_required": "must be left out",
    "timezone_aware": "must say its time zone, as in 2026-03-31T12:00:00Z",
    "json_invalid": "is not valid JSON",
}
# The validator's other sentences start with what they found; ours name the key instead.
_SUBJECT = re.compile("^(Input|String|Tuple|Dictionary|Datetime|Date|List|URL|Value) should")
_CLASS = r"\[((?:[^\]\\]|\\.)+)\]"
_FORM = re.compile(rf"\^(?:{_CLASS})?{_CLASS}\{{(\d+)(?:,(\d+))?\}}\$")
_LETTERS = {"a-z": "small letters", "A-Z": "capital letters", "0-9": "digits", "a-f": "letters a to f",
            "_": "underscores", "-": "hyphens", ".": "dots"}  # fmt: skip


class ProblemsError(ValueError):
    """Several problems found at once by a check across fields: pairs of (key path, sentence)."""

    def __init__(self, found: Iterable[Problem]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{path}: {text}" for path, text in self.found))


def refusal(
    code: str, what: str, error: ValidationError, raw: object, known_keys: Collection[str] = ()
) -> Refusal:
    """One `Refusal` for all that is wrong with ``raw``; its ``where`` is the path of the first key.

    ``what`` names the document ("the contract"); ``known_keys`` are offered for a misspelt key.
    """
    found = of(error, raw, known_keys)
    return Refusal(code, f"{what} has {told(found)}", remedy=REMEDY, where=found[0][0])


def fault(
    code: str, what: str, error: ValidationError, raw: object, known_keys: Collection[str] = ()
) -> Fault:
    """As `refusal`, for a document of this organisation's own, to which no policy said no."""
    found = of(error, raw, known_keys)
    return Fault(code, f"{what} has {told(found)}", remedy=REMEDY, where=found[0][0])


def of(error: ValidationError, raw: object, known_keys: Collection[str] = ()) -> list[Problem]:
    """The problems of a document that a model refused."""
    return sentences(error.errors(include_url=False, include_input=False), raw, known_keys)


def told(problems: Sequence[Problem]) -> str:
    """``one problem: ids: is missing; add it``."""
    lines = [f"{path}: {text}" if path else text for path, text in problems]
    shown = lines[:MAX_PROBLEMS_SHOWN]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
    return f"{count}: " + "; ".join(shown)


def sentences(
    items: Iterable[Mapping[str, Any]], raw: object, known_keys: Collection[str] = ()
) -> list[Problem]:
    """What ``items``, the validator's errors, say of the document ``raw``: a problem for each key.

    Where a key may be of several kinds the validator tries each and tells of all; they become one sentence.
    """
    items = list(islice(items, _MOST_READ))
    within = {tuple(item["loc"])[:n] for item in items for n in range(len(item["loc"]))}
    found: dict[str, list[str]] = {}
    for item in items:
        if item["type"] == "too_short" and tuple(item["loc"]) in within:
            continue  # the validator does not count an entry that is wrong by itself
        for path, text in _said(item, raw, known_keys):
            said = found.setdefault(path, [])
            if text not in said:
                said.append(text)
    return [problem for path, said in found.items() for problem in _joined(path, said)]


def in_request(items: Iterable[Mapping[str, Any]], body: object) -> list[Problem]:
    """What the validator's errors say of a web request: of its ``body`` by key, of its address by parameter."""
    found: list[Problem] = []
    for item in items:
        place, *rest = item["loc"]
        if place == "body":
            location = () if item["type"] == "json_invalid" else tuple(rest)
            said = sentences([{**item, "loc": location}], body)
        else:
            said = sentences([{**item, "loc": tuple(rest)}], dict.fromkeys(rest))
        found += [(path or str(place), text) for path, text in said]
    return found


def _joined(path: str, said: list[str]) -> Iterator[Problem]:
    kinds = [text for text in said if text.removeprefix("must be ") in _KINDS.values()]
    if len(kinds) > 1:
        yield path, "must be " + ", or ".join(text.removeprefix("must be ") for text in kinds)
    for text in said:
        if len(kinds) < 2 or text not in kinds:
            yield path, text


def _said(item: Mapping[str, Any], raw: object, known_keys: Collection[str]) -> Iterator[Problem]:
    location, kind = item["loc"], item["type"]
    path = _path(location, raw, kind)
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, ProblemsError):
        for inner, text in cause.found:
            yield f"{path}.{inner}" if path else inner, text
    elif isinstance(cause, ValueError):
        yield path, str(cause)
    elif kind == "extra_forbidden":
        yield path, "is not a known key; " + _suggest(str(location[-1]), known_keys)
    else:
        yield path, _sentence(kind, item.get("ctx", {}), item["msg"])


def _sentence(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _OTHER:
        return _OTHER[kind]
    if kind in _BOUNDS:
        text, name = _BOUNDS[kind]
        bound = context.get(name, "what the guide says")
        if name == "min_length" and bound == 1:
            return "must not be empty"
        return text.format(f"{bound:g}" if isinstance(bound, float) else bound)
    if kind == "string_pattern_mismatch":
        return _form(str(context.get("pattern", "")))
    match = _KIND.fullmatch(kind)
    if match is not None:
        return f"must be {_KINDS[match[1]]}"
    return _SUBJECT.sub("must", message.removeprefix("Value error, "))


def _form(pattern: str) -> str:
    """``^[a-z][a-z0-9_-]{0,62}$``: must be 1 to 63 small letters, digits, ... and begin with small letters."""
    match = _FORM.fullmatch(pattern)
    names = [_letters(match[place] or "") for place in (1, 2)] if match is not None else [None]
    if match is None or None in names:
        return f"must have the form {pattern}"
    first, rest = names
    more = 1 if first else 0
    least, most = int(match[3]) + more, int(match[4] or match[3]) + more
    text = f"must be {least} {rest}" if least == most else f"must be {least} to {most} {rest}"
    return f"{text}; the first of the {first}" if first and first != rest else text


def _letters(inside: str) -> str | None:
    """A class of characters in words; None if it has others than `_LETTERS`."""
    found = re.findall(r"a-z|A-Z|0-9|a-f|\\?[_.-]", inside)
    if "".join(found) != inside:
        return None
    words = [_LETTERS[part.lstrip("\\")] for part in found]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _suggest(key: str, known_keys: Collection[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known_keys), n=1, cutoff=0.75)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def _path(location: Sequence[int | str], raw: object, kind: str) -> str:
    """``datasets[exposures].capacity``: list items are shown by their name where they have one.

    A part that the document does not have is the validator's name of an alternative, unless it is the missing key.
    """
    path = ""
    here: Any = raw
    for place, part in enumerate(location):
        if isinstance(part, int):
            here = here[part] if _is_list(here) and part < len(here) else None
            name = here.get("name") if isinstance(here, Mapping) else None
            path += f"[{name[:64] if isinstance(name, str) and name else part + 1}]"
            continue
        known = isinstance(here, Mapping) and part in here
        if not known and not (kind == "missing" and place == len(location) - 1):
            continue
        here = here[part] if known else None
        shown = part if len(part) <= LONGEST_KEY else f"{part[:LONGEST_KEY]}…"
        path += f".{shown}" if path else shown
    return path


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def keys_of(model: type[BaseModel]) -> frozenset[str]:
    """The keys that a document of ``model`` may have, at any depth."""
    return frozenset(_keys(model.model_json_schema()))


def _keys(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for part in schema.values():
            yield from _keys(part)
    elif _is_list(schema):
        for part in schema:
            yield from _keys(part)
