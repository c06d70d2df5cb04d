"""Files that people give to commands, read with one clear error for each way to be wrong."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from hanse.errors import Fault, Refusal

MOST_BYTES = 8 << 20


def read_bytes(path: Path, what: str) -> bytes:
    """The file's bytes. Raises `Fault` ``file.missing``, ``file.unreadable`` or ``file.size``."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise Fault("file.missing", f"there is no such file for {what}",
                    remedy="check the path", where=str(path)) from error  # fmt: skip
    except OSError as error:
        raise Fault("file.unreadable", f"the file of {what} cannot be read: {error.strerror}",
                    remedy="check that it is a file and its permissions", where=str(path)) from error  # fmt: skip
    if len(data) > MOST_BYTES:
        raise Fault("file.size", f"the file of {what} is larger than {MOST_BYTES >> 20} MiB",
                    remedy="check that this is the right file", where=str(path))  # fmt: skip
    return data


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML document. Raises as `read_bytes` does, and `Fault` ``file.syntax`` with the line."""
    try:
        return tomllib.loads(read_bytes(path, what).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("file.syntax", f"the file of {what} is not TOML: {error}",
                    remedy="mend the line that the message names", where=str(path)) from error  # fmt: skip


def plain_values(value: Any) -> Any:
    """TOML values as JSON has them: dates and times become ISO text."""
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_values(item) for item in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value


def write_new(path: Path, data: bytes, what: str) -> None:
    """Write a file that must not exist yet. Raises `Refusal` ``file.exists`` or `Fault` ``file.unwritable``."""
    try:
        file = path.open("xb")
        try:
            with file:
                file.write(data)
        except OSError:
            path.unlink(
                missing_ok=True
            )  # half a file helps nobody, and would be in the way of the next try
            raise
    except FileExistsError as error:
        raise Refusal("file.exists", f"the file for {what} exists already",
                      remedy="choose another name, or remove it first", where=str(path)) from error  # fmt: skip
    except OSError as error:
        raise Fault(
            "file.unwritable",
            f"the file for {what} cannot be written: {error.strerror}",
            remedy="check the folder, its permissions and the disk",
            where=str(path),
        ) from error
