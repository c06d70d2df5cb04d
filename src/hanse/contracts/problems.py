"""From a validation error to one `Refusal` that lists every problem by its key, in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hanse.errors import Refusal

MAX_PROBLEMS_SHOWN = 40

# The validator's own sentences start with what they found; ours name the key instead.
_SUBJECT = re.compile("^(Input|String|Tuple|Dictionary|Datetime|Date) should")


class ProblemsError(ValueError):
    """Several problems found at once by a check across fields: pairs of (key path, sentence)."""

    def __init__(self, found: Iterable[tuple[str, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{path}: {text}" for path, text in self.found))


def refusal(
    code: str, what: str, error: ValidationError, raw: object, known_keys: Collection[str]
) -> Refusal:
    """One `Refusal` for all that is wrong with ``raw``.

    ``what`` names the document ("the contract"); ``known_keys`` are offered for a misspelt key.
    """
    lines = [f"{path}: {text}" if path else text for path, text in _plain(error, raw, known_keys)]
    shown = lines[:MAX_PROBLEMS_SHOWN]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
    return Refusal(
        code,
        f"{what} has {count}: " + "; ".join(shown),
        remedy="correct the keys named above; a document with any problem is not used at all",
        where=what,
    )


def _plain(
    error: ValidationError, raw: object, known_keys: Collection[str]
) -> Iterator[tuple[str, str]]:
    for item in error.errors(include_url=False, include_input=False):
        location = item["loc"]
        path = _path(location, raw)
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ProblemsError):
            for inner, text in cause.found:
                yield f"{path}.{inner}" if path else inner, text
        elif isinstance(cause, ValueError):
            yield path, str(cause)
        elif item["type"] == "missing":
            yield path, "is missing; add it"
        elif item["type"] == "extra_forbidden":
            yield path, "is not a known key; " + _suggest(str(location[-1]), known_keys)
        else:
            yield path, _SUBJECT.sub("must", item["msg"])


def _suggest(key: str, known_keys: Collection[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known_keys), n=1, cutoff=0.75)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def _path(location: Sequence[int | str], raw: object) -> str:
    """``datasets[exposures].capacity``: list items are shown by their name where they have one."""
    path = ""
    here: Any = raw
    for part in location:
        if isinstance(part, int):
            here = here[part] if isinstance(here, Sequence) and part < len(here) else None
            name = here.get("name") if isinstance(here, Mapping) else None
            path += f"[{name[:64] if isinstance(name, str) and name else part + 1}]"
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
            path += f".{part}" if path else part
    return path
