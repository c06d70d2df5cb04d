"""A small TOML writer for documents: scalars, then tables, then arrays of tables, in given order.

The standard library reads TOML but does not write it. A contract needs only part of the format,
and its order and line breaks matter to the people who sign it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

LINE_WIDTH = 96


def write(document: Mapping[str, Any]) -> str:
    """``document`` as TOML. Values: str, bool, int, float, date, sequences and mappings of these.

    A mapping inside a sequence becomes an array of tables; a sequence mixing both is a `TypeError`.
    """
    blocks: list[str] = []
    _table(document, (), blocks)
    return "\n".join(blocks) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], blocks: list[str]) -> None:
    lines = [f"{key} = {_inline(key, value)}" for key, value in table.items() if not _nested(value)]
    if blocks:
        blocks[-1] = "\n".join([blocks[-1], *lines])
    else:
        blocks.append("\n".join(lines))
    for key, value in table.items():
        name = ".".join((*path, key))
        if isinstance(value, Mapping):
            blocks.append(f"\n[{name}]")
            _table(value, (*path, key), blocks)
        elif _nested(value):
            for item in value:
                blocks.append(f"\n[[{name}]]")
                _table(item, (*path, key), blocks)


def _nested(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(item, Mapping) for item in value)
    )


def _inline(key: str, value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_scalar(item) for item in value]
        line = "[" + ", ".join(parts) + "]"
        if len(key) + len(line) + 3 <= LINE_WIDTH:
            return line
        return "[\n" + "".join(f"  {part},\n" for part in parts) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        # JSON's escapes are a subset of TOML's, but TOML also forbids a bare DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, Sequence):  # an array in an array
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    raise TypeError(f"cannot write a {type(value).__name__} as TOML")
